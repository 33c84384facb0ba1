"""The return types of the package's functions: masks as arrays, figures as tables, pictures in a notebook."""

import base64
import html
import io
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from motion_adapt.masks import Masks, load_masks
from motion_adapt.storage.formats.masks import EXPORTED

if TYPE_CHECKING:
    from motion_adapt.flows.reports.run_report import Report

SHOWN_STRIPS, STRIP_WIDTH = 3, 960  # strips in a notebook, and their width in pixels
SHOWN_ROWS = 20  # of a table in a notebook


class Picture:
    """A PNG of a run. A notebook shows it; `array` reads its pixels."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Picture({str(self.path)!r})"

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def array(self) -> NDArray[np.uint8]:
        """The pixels, u8 (H, W, 3) RGB."""
        with Image.open(self.path) as image:
            return np.array(image.convert("RGB"))

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()

    def small(self, width: int = STRIP_WIDTH) -> bytes:
        """Return the picture as a JPEG that is at most `width` pixels wide."""
        with Image.open(self.path) as image:
            small = image.convert("RGB")
        small.thumbnail((width, small.height))
        written = io.BytesIO()
        small.save(written, "JPEG", quality=80)
        return written.getvalue()


class Result:
    """The report of a run, its clips as a table, and what went wrong with the others.

    report: every number of the run; `report.json()` is what `--json` writes.
    """

    def __init__(self, report: "Report") -> None:
        self.report = report

    def __repr__(self) -> str:
        return f"<{self._title()}>"

    @cached_property
    def clips(self) -> pd.DataFrame:
        """A row per clip: its frames, scores if labels exist, and label-free figures."""
        return clip_table(self.report.clips)

    @property
    def set_aside(self) -> dict[str, str]:
        """The clips that could not be used, and why."""
        return dict(self.report.set_aside)

    @property
    def warnings(self) -> list[str]:
        """What the run warned about."""
        return list(self.report.warnings)

    def _title(self) -> str:
        count = len(self.report.clips)
        aside = f", {len(self.set_aside)} set aside" if self.set_aside else ""
        return f"{type(self).__name__} of {self.report.source}: {count} clip{'s' * (count != 1)}{aside}"

    def _parts(self) -> Iterable[str]:
        """Yield the parts of the notebook's view, as HTML."""
        if len(self.clips):
            yield self.clips.to_html(max_rows=SHOWN_ROWS, float_format="{:.3f}".format)
        yield from _list("Set aside", [f"{name}: {why}" for name, why in self.set_aside.items()])
        yield from _list("Warnings", self.warnings)

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self._title())}</b></p>" + "".join(self._parts())


class Segmentation(Result):
    """Masks and pictures of clips."""

    @property
    def output(self) -> Path:
        """The folder with masks, overlays and strips."""
        return Path(self.report.output)

    @cached_property
    def masks(self) -> Masks:
        """The masks of the run's clips, u8 (T, H, W) each, read from their files when asked for."""
        return load_masks(self.output / EXPORTED, clips=list(self.report.clips))

    @property
    def strips(self) -> dict[str, Picture]:
        """A picture per clip that has one: a few frames through all stages."""
        return {name: Picture(path) for name, path in self._of_clips("strips", ".png").items()}

    @property
    def overlays(self) -> dict[str, Path]:
        """A video per clip that has one: the frames with their masks."""
        return self._of_clips("overlays", ".mp4")

    def _of_clips(self, folder: str, suffix: str) -> dict[str, Path]:
        """Return the clips' files in a folder of the results. A clip whose pictures failed has masks alone."""
        files = {name: self.output / folder / f"{name}{suffix}" for name in self.report.clips}
        return {name: path for name, path in files.items() if path.exists()}

    def _parts(self) -> Iterable[str]:
        yield from super()._parts()
        strips = list(self.strips.items())
        for name, picture in strips[:SHOWN_STRIPS]:
            encoded = base64.b64encode(picture.small()).decode()
            yield f'<img alt="{html.escape(name)}" src="data:image/jpeg;base64,{encoded}">'
        if strips[SHOWN_STRIPS:]:
            yield f"<p>and the strips of {len(strips) - SHOWN_STRIPS} more clips, in <code>.strips</code></p>"


class Adaptation(Segmentation):
    """Masks of the round that was kept, and all rounds as a table."""

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """A row per round: its metrics, the gate's decision and reasons, and the registered model version."""
        rows = [
            {
                "round": item["round"],
                **item["metrics"],
                "decision": item["decision"],
                "reasons": "; ".join(item["reasons"]),
                "registered_version": item["registered_version"],
            }
            for item in self.report.rounds
        ]
        return pd.DataFrame(rows).set_index("round")

    @property
    def kept(self) -> int:
        """The round whose masks these are: the last that the gate kept."""
        return int(self.report.final["round"])

    @property
    def champion(self) -> str:
        """What became of the champion, in words."""
        return self.report.champion

    @property
    def page(self) -> Path | None:
        """The page with the whole comparison; None if no clip had a figure to compare."""
        path = self.output / "report.html"
        return path if path.is_file() else None

    @property
    def tracking_uri(self) -> str:
        """The MLflow tracking URI of the run, without a password."""
        return self.report.mlflow["uri"]

    @property
    def experiment(self) -> str:
        """The MLflow experiment of the run."""
        return self.report.mlflow["experiment"]

    def _parts(self) -> Iterable[str]:
        shown = self.rounds.drop(columns=["reasons", "registered_version"])
        shown = shown.drop(columns=[name for name in shown if str(name).startswith("seconds_per_frame/")])
        yield shown.T.to_html(float_format="{:.3f}".format)
        yield from super()._parts()


class Evaluation(Result):
    """Scores of masks against annotations."""

    @property
    def mean(self) -> pd.Series:
        """The mean of each score over the scored clips."""
        return pd.Series(self.report.final, dtype=float)

    def _parts(self) -> Iterable[str]:
        yield self.mean.to_frame("mean").T.to_html(float_format="{:.3f}".format)
        yield from super()._parts()


def clip_table(clips: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row per clip, its alarms joined to a text."""
    rows = [
        {"clip": name, **values, **({"alarms": "; ".join(values["alarms"])} if "alarms" in values else {})}
        for name, values in clips.items()
    ]
    return pd.DataFrame(rows, columns=None if rows else ["clip"]).set_index("clip")


def _list(title: str, lines: list[str]) -> Iterable[str]:
    """Yield lines under a title, as HTML."""
    if lines:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        yield f"<p>{title}</p><ul>{items}</ul>"
