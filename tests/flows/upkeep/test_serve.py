"""`motion-adapt serve` offers the deployments of prefect.yaml."""

from pathlib import Path

import pytest
import yaml

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.upkeep.serve import deployments, serve_all

ROOT = Path(__file__).parents[3]


def test_serve_offers_the_deployments_of_prefect_yaml() -> None:
    wanted = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    offered = deployments()
    assert [item.name for item in offered] == [item["name"] for item in wanted]
    for item, entry in zip(offered, wanted, strict=True):
        assert item.entrypoint == entry["entrypoint"]
        assert item.parameters == entry["parameters"]
        assert item.concurrency_limit == entry["concurrency_limit"]["limit"] == 1
        assert item.concurrency_options is not None
        assert item.concurrency_options.collision_strategy == entry["concurrency_limit"]["collision_strategy"]
        schedules = [
            {"cron": made.schedule.cron, "timezone": made.schedule.timezone, "active": made.active}
            for made in item.schedules or []
        ]
        assert schedules == entry.get("schedules", [])


def test_a_cron_switches_the_nightly_schedule_on() -> None:
    (schedule,) = deployments("30 1 * * *")[0].schedules or []
    assert (schedule.active, schedule.schedule.cron) == (True, "30 1 * * *")


def test_an_invalid_cron_is_named() -> None:
    with pytest.raises(RunError, match="--cron 'nonsense': wanted minute, hour"):
        deployments("nonsense")


def test_serve_without_a_server_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr("motion_adapt.flows.upkeep.serve.PREFECT_API_URL.value", lambda: None)
    with pytest.raises(RunError, match="prefect server start"):
        serve_all(None, 1)
