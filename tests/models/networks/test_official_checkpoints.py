import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from motion_adapt.models.networks.checkpoints import Checkpoint, tensors_digest
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.official_checkpoints import import_official
from motion_adapt.models.networks.selector import MaskSelector
from tests.models.networks.official import to_official

NETWORKS = {"oclr": OCLR, "selector": MaskSelector, "corrector": MaskCorrector}


@pytest.fixture(scope="module")
def released() -> dict[str, dict[str, Tensor]]:
    """Return random weights of the paper's sizes under the authors' names."""
    return {
        model: to_official(Checkpoint(model, {"network": {}}, network().state_dict()))
        for model, network in NETWORKS.items()
    }


@pytest.mark.parametrize("model", NETWORKS)
def test_official_files_load_whatever_their_wrapping(model: str, released: dict, tmp_path: Path) -> None:
    state = released[model]
    wrapped = {"model_state_dict": {f"module.{key}": value.double() for key, value in state.items()}}
    for index, content in enumerate((state, wrapped)):
        path = tmp_path / f"{index}.pth"
        torch.save(content, path)
        checkpoint = import_official(path, model)
        assert tensors_digest(to_official(checkpoint)) == tensors_digest(state)
        NETWORKS[model](**checkpoint.settings["network"]).load_state_dict(checkpoint.tensors)


def test_oclr_of_other_gaps_and_queries(tmp_path: Path) -> None:
    net = OCLR(in_channels=8, num_queries=2)
    torch.save(to_official(Checkpoint("oclr", {"network": {}}, net.state_dict())), tmp_path / "o.pth")
    network = import_official(tmp_path / "o.pth", "oclr").settings["network"]
    assert (network["in_channels"], network["num_queries"]) == (8, 2)


def _refused(path: Path, content: object, match: str, model: str = "selector") -> None:
    torch.save(content, path)
    with pytest.raises(ValueError, match=match) as error:
        import_official(path, model)
    assert str(path) in str(error.value)


def test_what_does_not_fit_is_named(released: dict, tmp_path: Path) -> None:
    path, state = tmp_path / "s.pth", released["selector"]
    _refused(path, released["oclr"], "not an official selector checkpoint; lacks selector.encoder")
    _refused(path, released["selector"], "not an official oclr", model="oclr")
    _refused(
        path, {k: v for k, v in state.items() if k != "selector.mlp.bias"}, r"lacks selector\.mlp\.bias$"
    )
    _refused(path, state | {"extra": torch.ones(1)}, "checkpoint; has extra$")
    _refused(
        path, state | {"selector.mlp.bias": torch.ones(3)}, r"mlp.bias: wanted shape \(256,\), got \(3,\)"
    )
    _refused(path, state | {"selector.mlp.bias": torch.full((256,), torch.nan)}, "mlp.bias: wanted finite")
    _refused(path, {"model_state_dict": {"a": 1}}, "wanted a dictionary of tensors")
    _refused(path, {0: torch.ones(1)}, "wanted a dictionary of tensors by name")
    _refused(path, [1, 2], "wanted a dictionary of tensors")
    with pytest.raises(ValueError, match="got 'dino'"):
        import_official(path, "dino")


def test_damaged_files_are_refused(released: dict, tmp_path: Path) -> None:
    path = tmp_path / "s.pth"
    torch.save(released["selector"], path)
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 100):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"s\.pth"):
            import_official(path, "selector")
    with pytest.raises(FileNotFoundError):
        import_official(tmp_path / "none.pth", "selector")


class _Code:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    _refused(tmp_path / "s.pth", {"model_state_dict": _Code(tmp_path / "made")}, "more than tensors")
    assert not (tmp_path / "made").exists()
