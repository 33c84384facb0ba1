"""The paper's benchmarks: their clips, colours, rules and gaps. Facts only; no file of a data set is opened here.

The clip lists are those of the two official repositories; `clips.json` names its source. A data set's rules only set
defaults for a run's settings.
"""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

Colour = tuple[int, int, int]

WHITE_ON_BLACK: tuple[Colour, ...] = ((0, 0, 0), (255, 255, 255))
DAVIS_COLOURS: tuple[Colour, ...] = (
    (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128),
)  # fmt: skip
YTVOS_COLOURS: tuple[Colour, ...] = (
    (0, 0, 0), (236, 95, 103), (249, 145, 87), (250, 200, 99), (153, 199, 148), (98, 179, 178),
)  # fmt: skip


@dataclass(frozen=True)
class DataSet:
    """One benchmark.

    Invariant: the evaluated list comes first in `splits`, and no name is in two of its lists.
    """

    name: str
    short: str  # the paper's name
    protocol: Literal["single", "objects", "boxes"]
    annotated: Literal["every", "fifth", "some"]  # which frames have an annotation
    colours: tuple[Colour, ...]  # of labels 0, 1, 2... in its annotation files
    skip_ends: bool = False  # whether the first and last frame of a clip are left out of its scores
    gaps: tuple[int, int] = (1, 2)  # of inference and of adaptation
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Number of objects in each evaluated clip, if known.
    objects: Mapping[str, int] = field(default_factory=dict)
    others: frozenset[str] = frozenset()  # clips in the download that no list names

    @property
    def split(self) -> str:
        """The name of the evaluated list."""
        return next(iter(self.splits))

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The clips that figures are averaged over."""
        return self.splits[self.split]

    @property
    def clips(self) -> frozenset[str]:
        """Every clip that the download is known to contain."""
        return frozenset().union(*self.splits.values()) | self.others

    @property
    def multi_object(self) -> bool:
        """Whether labels distinguish objects; if not, there is one foreground."""
        return len(self.colours) > 2


_RULES = (
    DataSet("DAVIS2016", "DAVIS16", "single", "every", WHITE_ON_BLACK, skip_ends=True),
    DataSet("DAVIS2017-motion", "DAVIS17-m", "objects", "every", DAVIS_COLOURS),
    DataSet("YouTubeVOS2018-motion", "YTVOS18-m", "objects", "fifth", YTVOS_COLOURS, gaps=(3, 2)),
    DataSet("SegTrackv2", "STv2", "single", "every", WHITE_ON_BLACK),
    DataSet("FBMS-59", "FBMS59", "single", "some", WHITE_ON_BLACK, gaps=(3, 2)),
    DataSet("MoCA", "MoCA", "boxes", "some", WHITE_ON_BLACK),
)


@cache
def data_sets() -> Mapping[str, DataSet]:
    """Return all benchmarks by name."""
    told = json.loads(
        files("motion_adapt.storage.datasets").joinpath("clips.json").read_text(encoding="utf-8")
    )
    known = {}
    for rules in _RULES:
        lists = told[rules.name]
        known[rules.name] = DataSet(
            **{name: getattr(rules, name) for name in ("name", "short", "protocol", "annotated", "colours")},
            skip_ends=rules.skip_ends,
            gaps=rules.gaps,
            splits={split: tuple(clips) for split, clips in lists["splits"].items()},
            objects=lists.get("objects", {}),
            others=frozenset(lists.get("left_out", ())),
        )
    return known


def data_set(name: str) -> DataSet:
    """Return the benchmark of that full or short name; case and punctuation do not matter.

    Raises:
        ValueError: if there is none; suggests the closest name.
    """
    spelt = {_plain(known): entry for entry in data_sets().values() for known in (entry.name, entry.short)}
    spelt |= {
        plain: data_sets()[full] for plain, full in (("ytvos", "YouTubeVOS2018-motion"), ("fbms", "FBMS-59"))
    }
    if _plain(name) in spelt:
        return spelt[_plain(name)]
    near = difflib.get_close_matches(_plain(name), spelt, n=1, cutoff=0.5)
    hint = f"; did you mean {spelt[near[0]].name}?" if near else ""
    raise ValueError(f"there is no data set '{name}'; there are {', '.join(data_sets())}{hint}")


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.casefold())
