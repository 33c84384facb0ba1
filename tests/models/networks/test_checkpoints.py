import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.models.networks.checkpoints import (
    Checkpoint,
    build_network,
    read_checkpoint,
    save_checkpoint,
    tensors_digest,
)
from motion_adapt.models.networks.oclr import OCLR

SIZES = {"features": 2, "width": 16, "num_layers": 1}


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    settings = {"network": SIZES, "features": None, "training": {"seed": 1, "rate": 5e-5}}
    return Checkpoint("oclr", settings, OCLR(**SIZES).state_dict())


def test_round_trip(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", checkpoint)
    again = read_checkpoint(tmp_path / "a.safetensors")
    assert (again.model, again.settings) == (checkpoint.model, checkpoint.settings)
    assert tensors_digest(again.tensors) == tensors_digest(checkpoint.tensors)
    save_checkpoint(tmp_path / "b.safetensors", again)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]

    net = build_network(again, expect="oclr")
    assert isinstance(net, OCLR) and not net.training
    assert tensors_digest(net.state_dict()) == tensors_digest(checkpoint.tensors)


def test_views_and_shared_tensors_are_saved(checkpoint: Checkpoint, tmp_path: Path) -> None:
    table = torch.arange(6.0).view(2, 3)
    tensors = {"a": table.T, "b": table, "c": table[0, 0], "half": table.bfloat16()}
    save_checkpoint(tmp_path / "c", Checkpoint("oclr", checkpoint.settings, tensors))
    again = read_checkpoint(tmp_path / "c").tensors
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


@given(st.data())
def test_damage_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("damage") / "c.safetensors"
    save_checkpoint(path, Checkpoint("oclr", {"network": {}}, {"w": torch.arange(8.0)}))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        again = read_checkpoint(path)
    except ValueError as error:
        assert "c.safetensors" in str(error)
    else:  # meaningless bytes
        assert again.settings == {"network": {}} and torch.equal(again.tensors["w"], torch.arange(8.0))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "none")
    other = tmp_path / "other"
    safetensors.torch.save_file({"a": torch.ones(1)}, other)
    with pytest.raises(ValueError, match="not a motion-adapt checkpoint"):
        read_checkpoint(other)
    safetensors.torch.save_file({"a": torch.ones(1)}, other, {"motion-adapt": json.dumps({"model": 1})})
    with pytest.raises(ValueError, match="settings cannot be read"):
        read_checkpoint(other)
    for content in (b"", b"PK\x03\x04 something else"):
        other.write_bytes(content)
        with pytest.raises(ValueError, match="not a safetensors file"):
            read_checkpoint(other)


def test_a_failed_save_leaves_the_old_file(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="settings"):
        save_checkpoint(path, Checkpoint("oclr", {"network": {"features": float("nan")}}, checkpoint.tensors))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_networks_that_do_not_fit_are_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="wanted a model 'selector', got 'oclr'"):
        build_network(checkpoint, expect="selector")
    with pytest.raises(ValueError, match="unknwon"):
        build_network(Checkpoint("oclr", {"network": {"unknwon": 1}}, checkpoint.tensors))
    with pytest.raises(ValueError, match="size mismatch"):
        build_network(Checkpoint("oclr", {"network": {**SIZES, "num_queries": 4}}, checkpoint.tensors))
    with pytest.raises(ValueError, match="got 'oclrr'"):
        Checkpoint("oclrr", checkpoint.settings, checkpoint.tensors)


def test_the_digest_tells_names_shapes_dtypes_and_values_apart() -> None:
    base = torch.arange(6.0)
    different = [{"a": base}, {"b": base}, {"a": base.view(2, 3)}, {"a": base.int()}, {"a": base + 1}, {}]
    assert len({tensors_digest(tensors) for tensors in different}) == len(different)
    both = {"a": base, "b": base + 1}
    assert tensors_digest(both) == tensors_digest(dict(reversed(both.items())))
