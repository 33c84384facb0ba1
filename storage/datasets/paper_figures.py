"""The paper's published results (Tables 1-20), for comparison.

Source: Xie, Xie, Zisserman, Appearance-Based Refinement for Object-Centric Motion Segmentation, ECCV 2024. The
figures are in paper_figures.csv, one per row, as the paper prints them:

    J, F, JF             percent
    AP                   in [0, 1], of ranking frames by their quality (its appendix C.1)
    seconds_per_frame    from RGB and flow, without the time to estimate the flow

`setting` states what a row of an ablation varies, as name=value pairs. Tables 1 and 2 are excerpts of 19 and 20 and
are not repeated.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

SOURCE = "Xie, Xie, Zisserman: Appearance-Based Refinement for Object-Centric Motion Segmentation, ECCV 2024"
EXCERPTS = {1: 19, 2: 20}
TITLES = {
    1: "multi-object segmentation, excerpt",
    2: "single-object segmentation, excerpt",
    3: "how exemplars are selected",
    4: "the corrector, trained on synthetic clips",
    5: "architecture of the corrector",
    6: "target frames",
    7: "exemplars",
    8: "background queries",
    9: "features",
    10: "flow estimators",
    11: "flow segmentation models",
    12: "three repeats of the selector",
    13: "three repeats of the corrector",
    14: "stages of adaptation",
    15: "feature reconstruction in adaptation",
    16: "supervised fine-tuning of the upsampler",
    17: "post-processing",
    18: "with SAM",
    19: "multi-object segmentation",
    20: "single-object segmentation",
}
# The number of clips that a figure on each data set is averaged over, and the usual short names.
CLIPS = {
    "DAVIS2016": 20,
    "DAVIS2017-motion": 30,
    "YouTubeVOS2018-motion": 120,
    "SegTrackv2": 14,
    "FBMS-59": 30,
}
ALIASES = {
    "DAVIS16": "DAVIS2016",
    "DAVIS17-m": "DAVIS2017-motion",
    "YTVOS18-m": "YouTubeVOS2018-motion",
    "STv2": "SegTrackv2",
    "FBMS59": "FBMS-59",
}


@dataclass(frozen=True)
class PublishedFigure:
    """One number of one table."""

    table: int
    model: str  # "the paper" for the paper's own model
    setting: dict[str, str] = field(hash=False)  # what the row varies; mostly empty in comparisons of models
    protocol: str  # single, objects (unsupervised) or semi-supervised; empty for AP and seconds
    human_annotations: bool  # used in training, or in training a model that it builds on
    inputs: str  # such as "RGB + flow"; empty if not stated
    resolution: str
    data_set: str  # empty if it concerns none in particular
    metric: str
    value: float


def published(
    *,
    table: int | None = None,
    data_set: str | None = None,
    protocol: str | None = None,
    metric: str | None = None,
    model: str | None = None,
) -> list[PublishedFigure]:
    """Return the figures that match all arguments given, in the paper's order.

    Args:
        table: 1 to 20; 1 and 2 return the full tables that they are excerpts of.
        data_set: full or short name.
        protocol: single, objects or semi-supervised.
        metric: J, F, JF, AP or seconds_per_frame.
        model: name of a model; "the paper" for the paper's own.

    Raises:
        ValueError: if the paper has no such table or data set.
    """
    if table is not None and table not in TITLES:
        raise ValueError(f"table: wanted 1 to {max(TITLES)}, got {table}")
    wanted = {
        "table": EXCERPTS.get(table, table) if table else None,
        "data_set": full_name(data_set) if data_set else None,
        "protocol": protocol,
        "metric": metric,
        "model": model,
    }
    asked = {name: value for name, value in wanted.items() if value is not None}
    return [item for item in _all() if all(getattr(item, name) == value for name, value in asked.items())]


def full_name(data_set: str) -> str:
    """Return the project's name for a data set, given its full or short name in any case.

    Raises:
        ValueError: if the paper has no figures on it.
    """
    known = {name.lower(): name for name in CLIPS} | {short.lower(): name for short, name in ALIASES.items()}
    if data_set.lower() not in known:
        raise ValueError(
            f"the paper has no figures on '{data_set}'; it has figures on {', '.join(sorted(CLIPS))}"
        )
    return known[data_set.lower()]


@cache
def _all() -> tuple[PublishedFigure, ...]:
    text = files("motion_adapt.storage.datasets").joinpath("paper_figures.csv").read_text(encoding="utf-8")
    return tuple(_read(csv.DictReader(text.splitlines())))


def _read(rows: Iterable[dict[str, str]]) -> Iterable[PublishedFigure]:
    for row in rows:
        yield PublishedFigure(
            table=int(row["table"]),
            model=row["model"],
            setting=dict(part.split("=", 1) for part in row["setting"].split()),
            protocol=row["protocol"],
            human_annotations={"yes": True, "no": False}[row["human_annotations"]],
            inputs=row["inputs"],
            resolution=row["resolution"],
            data_set=row["data_set"],
            metric=row["metric"],
            value=float(row["value"]),
        )
