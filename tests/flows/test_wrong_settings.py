"""A setting that is wrong for every clip ends a run before the first clip, and moves no result of an earlier run."""

from pathlib import Path

import pytest

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.prechecks import require_settings
from motion_adapt.flows.run.presets import load_settings
from tests.flows.conftest import OVERRIDES, Home

WRONG = (
    (["flow.estimator=raft_large", "flow.weights=C_T_V9"], "flow: weights of raft_large"),
    (["flow.weights=C_T_V1"], "add --set flow.weights=none"),
    (["flow.estimator=flo", "flow.folder=nowhere"], "flow.folder: there is no folder nowhere"),
    (["proposal.folder=nowhere"], "proposal.folder: there is no folder nowhere"),
    (["features.corrector.backbone=vit_small_patch16_224.dina"], "features.corrector: "),
    (["features.corrector.backbone=resnet50"], "features.corrector: "),
    (["features.corrector.reference=true"], "features.corrector.reference"),
    (["precision=bfloat16"], "precision=bfloat16 needs a GPU"),
)


@pytest.mark.parametrize(("overrides", "told"), WRONG)
def test_wrong_settings_are_told(overrides: list[str], told: str) -> None:
    with pytest.raises(RunError, match=told):
        require_settings(load_settings(overrides=[*OVERRIDES, *overrides]), "cpu")


def test_the_preset_of_the_paper_runs_with_dis_as_the_message_says() -> None:
    chosen = ["flow.estimator=dis", "flow.weights=none"]
    require_settings(load_settings("paper", overrides=chosen), "cpu")


def test_a_feature_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "vit.pth").write_bytes(b"<html></html>")
    chosen = [
        "features.corrector.backbone=vit_tiny_patch16_224",
        f"features.corrector.checkpoint={tmp_path}/vit.pth",
    ]
    with pytest.raises(RunError, match=r"features\.corrector: .*is a web page"):
        require_settings(load_settings(overrides=chosen), "cpu")


@pytest.mark.parametrize("command", ["adapt", "segment"])
@pytest.mark.parametrize("wrong", ["setting", "weights"])
def test_nothing_is_moved_for_it(home: Home, command: str, wrong: str) -> None:
    masks = home.output / "masks" / "heron"
    masks.mkdir(parents=True)
    (masks / "00000.png").write_bytes(b"of an earlier run")
    changes: dict[str, object] = {"weights": str(home.path / "clips")}
    if wrong == "setting":
        changes = {"settings": load_settings(overrides=[*OVERRIDES, *WRONG[0][0]])}
    with pytest.raises(RunError):
        getattr(home, command)(**changes)
    assert (masks / "00000.png").is_file() and not (home.output / "earlier").exists()
    assert not home.store.names("frames")
