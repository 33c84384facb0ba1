"""Files and folders appear whole or not at all, and the earlier ones stay until then."""

from pathlib import Path

import pytest

from motion_adapt.storage.atomic import whole_folder


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_folder_that_is_not_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    place = tmp_path / "masks"
    with whole_folder(place) as partial:
        (partial / "0.png").write_text("earlier")
    rename = Path.rename

    def fail_with_the_new_one(self: Path, target: Path) -> Path:
        if (self / "1.png").exists():
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_with_the_new_one)
    with pytest.raises(error), whole_folder(place) as partial:
        (partial / "1.png").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]
    assert (place / "0.png").read_text() == "earlier"
