"""The list of frames to look at, as files in the folder of results.

<folder>/doubtful.csv                    a row per frame: clip, frame, doubt, why, mask
<folder>/doubtful/<clip>/<frame>.jpg     the frame with its mask
"""

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from motion_adapt.storage.atomic import whole_file, whole_folder

LIST = "doubtful.csv"
PICTURES = "doubtful"


@dataclass(frozen=True)
class DoubtfulFrame:
    """One frame to look at. `doubt` is in [0, 1]; `mask` is the path of its mask within the results."""

    clip: str
    frame: str
    doubt: float
    why: str
    mask: str


def write_doubtful(
    folder: Path, found: Sequence[DoubtfulFrame], pictures: Mapping[str, Mapping[str, bytes]]
) -> dict[str, list[Path]]:
    """Write the list, and the pictures, JPEG by clip and frame. Returns the pictures' paths by clip.

    Pictures of an earlier run are replaced, also for a clip that has none now.
    """
    with whole_file(folder / LIST) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, [item.name for item in fields(DoubtfulFrame)])
        rows.writeheader()
        rows.writerows(asdict(item) for item in found)
    for clip, frames in pictures.items():
        if not frames:
            shutil.rmtree(folder / PICTURES / clip, ignore_errors=True)
            continue
        with whole_folder(folder / PICTURES / clip) as partial:
            for frame, data in frames.items():
                (partial / f"{frame}.jpg").write_bytes(data)
    return {
        clip: [folder / PICTURES / clip / f"{frame}.jpg" for frame in frames]
        for clip, frames in pictures.items()
    }


def read_doubtful(folder: Path) -> list[DoubtfulFrame]:
    """Read the list of a folder of results.

    Raises:
        ValueError: if the folder has no list, or the file is none.
    """
    path = folder / LIST
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [DoubtfulFrame(**{**row, "doubt": float(row["doubt"])}) for row in rows]  # type: ignore[arg-type]
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({error.strerror}): name a run's folder of results"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no list of frames as a run writes it") from error
