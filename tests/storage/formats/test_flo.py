import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from motion_adapt.storage.formats.flo import LARGEST, flo_path, read_flo, read_flow_pairs, write_flo

finite = st.floats(-LARGEST, LARGEST, width=32)
flows = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: arrays(np.float32, (*size, 2), elements=finite)
)


@given(flows)
def test_flow_comes_back_as_it_went_in(tmp_path_factory: pytest.TempPathFactory, flow: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("flow") / "a" / "00000.flo"
    write_flo(path, flow)
    np.testing.assert_array_equal(read_flo(path), flow)
    assert [file.name for file in path.parent.iterdir()] == ["00000.flo"]


def test_the_layout_is_middleburys(tmp_path: Path) -> None:
    write_flo(tmp_path / "a.flo", np.arange(12, dtype=np.float32).reshape(2, 3, 2))
    data = (tmp_path / "a.flo").read_bytes()
    assert data[:4] == b"PIEH"
    assert struct.unpack("<ii", data[4:12]) == (3, 2)
    assert struct.unpack("<4f", data[12:28]) == (0, 1, 2, 3)


def test_only_flow_is_written(tmp_path: Path) -> None:
    for wrong in (np.zeros((2, 3, 2)), np.zeros((2, 3), np.float32), np.zeros((2, 2, 3), np.float32)):
        with pytest.raises(ValueError, match="flow must be f32"):
            write_flo(tmp_path / "a.flo", wrong)


HEADER = struct.pack("<fii", 202021.25, 3, 2)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"PIE", "is cut short"),
        (b"RIFF" + HEADER[4:] + bytes(48), "is not a .flo file"),
        (HEADER + bytes(40), "has 40 bytes of flow, 3x2 need 48"),
        (HEADER + bytes(56), "has 56 bytes"),
        (struct.pack("<fii", 202021.25, -3, 2) + bytes(48), "claims a size of -3x2"),
        (struct.pack("<fii", 202021.25, 2**30, 2**30), "claims a size"),
        (HEADER + struct.pack("<f", float("nan")) * 12, "not finite"),
        (HEADER + struct.pack("<f", 1.7e9) * 12, "of 1.7e\\+09 pixels: flow must be known everywhere"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a.flo").write_bytes(data)
    with pytest.raises(ValueError, match=f"a.flo .*{reason}"):
        read_flo(tmp_path / "a.flo")


def test_missing_flow_is_the_opposite_negated(tmp_path: Path) -> None:
    def flow(value: float) -> np.ndarray:
        return np.full((2, 3, 2), value, np.float32)

    for gap, frame, value in ((1, "0", 1), (1, "1", 2), (-1, "1", -3), (-1, "2", -4)):
        write_flo(flo_path(tmp_path, gap, "dog", frame), flow(value))
    pairs = [
        (ahead.max(), back.max()) for ahead, back in read_flow_pairs(tmp_path, 1, "dog", ["0", "1", "2"])
    ]
    assert pairs == [(1, -1), (2, -3), (4, -4)]
    assert {path.name for path in tmp_path.iterdir()} == {"Flows_gap-1", "Flows_gap1"}
    with pytest.raises(ValueError, match="no flow for gap 1"):
        list(read_flow_pairs(tmp_path, 1, "dog", ["3"]))
    write_flo(flo_path(tmp_path, 1, "dog", "2"), np.zeros((3, 3, 2), np.float32))
    with pytest.raises(ValueError, match="another size"):
        list(read_flow_pairs(tmp_path, 1, "dog", ["0", "1", "2"]))
