"""Serve: all deployments from one process, without a work pool.

These are the deployments of prefect.yaml, under the same names, for as long as the process lives. Each run is a
separate process, which works in the folder in which this one was started.
"""

from prefect import serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import EntrypointType
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_URL

from motion_adapt.flows.adapt import adapt
from motion_adapt.flows.pretrain import pretrain
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.segment import segment

ONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)


def deployments(cron: str | None = None) -> list[RunnerDeployment]:
    """Return the deployments of prefect.yaml; `cron` (UTC) enables and sets the nightly schedule.

    Raises:
        RunError: if `cron` is not a valid schedule.
    """
    try:
        when = Cron(cron or "0 3 * * *", timezone="UTC", active=cron is not None)
    except ValueError:
        raise RunError(
            f"--cron '{cron}': wanted minute, hour, day, month and weekday, for example '0 3 * * *'"
        ) from None
    parts = (
        (adapt, "nightly", {"source": "clips", "from_champion": False}, when),
        (adapt, "on-demand", {"source": "clips"}, None),
        (segment, "inbox", {"source": "inbox"}, None),
        (pretrain, "pretrain", {"folder": "weights"}, None),
    )
    return [
        flow.to_deployment(  # type: ignore[misc]  # a coroutine only inside an event loop, and here is none
            name,
            parameters=parameters,
            schedule=schedule,
            concurrency_limit=ONE,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        for flow, name, parameters, schedule in parts
    ]


def serve_all(cron: str | None, limit: int) -> None:
    """Serve the deployments until stopped, at most `limit` runs at once.

    Raises:
        RunError: if no Prefect server is set (a temporary one could not be reached), or `cron` is not valid.
    """
    if not PREFECT_API_URL.value():
        raise RunError(
            "serve needs a Prefect server: start one with 'prefect server start --host 127.0.0.1' and "
            "set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    serve(*deployments(cron), limit=limit)
