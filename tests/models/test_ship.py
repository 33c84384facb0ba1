"""Weights made ready to ship: the same networks in half the bytes."""

import pytest
import torch

from motion_adapt.models.networks.checkpoints import (
    Checkpoint,
    build_network,
    read_checkpoint,
    save_checkpoint,
)
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.ship import main, ship

NETWORK = {"features": 2, "width": 8, "num_heads": 2, "num_layers": 1}


def checkpoint():
    torch.manual_seed(0)
    return Checkpoint("oclr", {"network": NETWORK, "training": {"steps": 1}}, OCLR(**NETWORK).state_dict())


def test_shipped_networks_answer_as_the_trained_ones(tmp_path):
    (tmp_path / "from").mkdir()
    save_checkpoint(tmp_path / "from" / "oclr.safetensors", checkpoint())
    sizes = ship(tmp_path / "from", tmp_path / "to")
    assert 2 * sizes["oclr.safetensors"] < 1.2 * (tmp_path / "from" / "oclr.safetensors").stat().st_size
    shipped = build_network(read_checkpoint(tmp_path / "to" / "oclr.safetensors"))
    assert {p.dtype for p in shipped.parameters()} == {torch.float32}
    flow = torch.randn(1, 2, 4, 32, 32)
    with torch.no_grad():
        before, after = build_network(checkpoint())(flow)[0], shipped(flow)[0]
    torch.testing.assert_close(before, after, atol=2e-2, rtol=0)


def test_values_beyond_16_bits_are_refused(tmp_path):
    big = checkpoint()
    big.tensors["position.bias"] = torch.full_like(big.tensors["position.bias"], 1e6)
    save_checkpoint(tmp_path / "oclr.safetensors", big)
    with pytest.raises(ValueError, match=r"position\.bias does not fit into 16 bits"):
        ship(tmp_path, tmp_path / "to")


def test_nothing_is_written_before_everything_is_checked(tmp_path, monkeypatch, capsys):
    weights, to = tmp_path / "from", tmp_path / "to"
    weights.mkdir()
    save_checkpoint(weights / "oclr.safetensors", checkpoint())
    (weights / "selector.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged"):
        ship(weights, to)
    assert not to.exists()
    (weights / "selector.safetensors").unlink()
    size = ship(weights, to)["oclr.safetensors"]
    (to / "other.safetensors").write_bytes(b"0" * 100)
    written = (to / "oclr.safetensors").stat().st_mtime_ns
    monkeypatch.setattr("motion_adapt.models.ship.MOST_BYTES", size + 99)
    with pytest.raises(ValueError, match=f"would have {size + 100} bytes"):
        ship(weights, to)
    assert (to / "oclr.safetensors").stat().st_mtime_ns == written
    (tmp_path / "file").touch()
    monkeypatch.undo()
    with pytest.raises(SystemExit) as ended:
        main([str(weights), str(tmp_path / "file")])
    assert ended.value.code == 2 and "file" in capsys.readouterr().err


def test_an_empty_folder_is_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), str(tmp_path / "to")])
    assert ended.value.code == 2 and "no checkpoint" in capsys.readouterr().err
