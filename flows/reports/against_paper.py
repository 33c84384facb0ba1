"""Compare scores with the paper's published figures: one table per data set, best first, including one's own rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from motion_adapt.flows.run.console import say
from motion_adapt.storage.datasets.catalogue import data_set as benchmark
from motion_adapt.storage.datasets.paper_figures import CLIPS, SOURCE, published
from motion_adapt.storage.names import count_of

TABLE_OF = {"single": 20, "objects": 19}
METRICS = {"single": ("J",), "objects": ("JF", "J", "F")}
# Both single-object figures are always shown and named: papers choose the channel with the labels on DAVIS 2016.
OURS = {
    "single": (("yours, union", ""), ("yours, matched (chosen with labels)", "_matched")),
    "objects": (("yours", ""),),
}


@dataclass(frozen=True)
class Row:
    """A model's scores on a data set, in percent."""

    model: str
    scores: dict[str, float]
    human_annotations: bool | None = None  # None for one's own rows
    inputs: str = ""
    resolution: str = ""

    @property
    def ours(self) -> bool:
        """Whether the row is one's own."""
        return self.human_annotations is None


def compare(scores: Mapping[str, float], protocol: str, data_set: str) -> list[Row]:
    """Return one's own rows and the published ones of a protocol on a data set, best first.

    Semi-supervised rows of Table 19 are left out, because those methods are given the first frame's mask.

    Args:
        scores: J, F and JF in [0, 1]; for `single` also J_matched.
        protocol: single or objects.
        data_set: full or short name.

    Raises:
        ValueError: if the paper has no figures on the data set.
    """
    rows = [
        Row(name, {metric: 100 * scores[metric + suffix] for metric in METRICS[protocol]})
        for name, suffix in OURS[protocol]
        if METRICS[protocol][0] + suffix in scores
    ]
    found: dict[tuple[str, bool], Row] = {}
    for item in published(table=TABLE_OF[protocol], data_set=data_set, protocol=protocol):
        key = item.model, item.human_annotations
        row = Row(item.model, {}, item.human_annotations, item.inputs, item.resolution)
        found.setdefault(key, row).scores[item.metric] = item.value
    rows += found.values()
    return sorted(rows, key=lambda row: -row.scores[METRICS[protocol][0]])


def data_sets(protocol: str) -> list[str]:
    """Return the data sets on which the paper has figures under a protocol."""
    return list(dict.fromkeys(f.data_set for f in published(table=TABLE_OF[protocol], protocol=protocol)))


def print_against_paper(
    console: Console, scores: Mapping[str, float], protocol: str, data_set: str | None, clips: int
) -> None:
    """Print the comparison on one data set or, if none is named, on all data sets of the protocol.

    If the paper did not score a data set under that protocol, a note is printed instead.
    """
    if protocol not in TABLE_OF:
        say(console, "paper:", f"no figures under --protocol {protocol}", "yellow")
        return
    wanted = [benchmark(data_set).name] if data_set else data_sets(protocol)
    for name in wanted:
        if name not in data_sets(protocol):
            others = ", ".join(data_sets(protocol))
            say(
                console,
                "paper:",
                f"no figures on {name} under --protocol {protocol}; it has {others}",
                "yellow",
            )
            continue
        console.print(table(name, protocol, compare(scores, protocol, name)))
        if data_set and clips != CLIPS[name]:
            text = f"scored: {count_of(clips, 'clip')}; the published figures are means over {CLIPS[name]}"
            say(console, "not comparable:", text, "yellow")
    if not data_set:
        say(console, "note:", "name your data set with --dataset to see only its table", "yellow")
    say(console, "source:", SOURCE)


def table(name: str, protocol: str, rows: list[Row]) -> Table:
    """Return the rows as a table for the terminal, with the difference of each published figure to one's first row."""
    made = Table(title=f"{name} · Table {TABLE_OF[protocol]} of the paper, percent", title_justify="left")
    made.add_column("")
    for metric in METRICS[protocol]:
        made.add_column(metric, justify="right")
    for column in ("yours is", "human labels", "inputs", "resolution"):
        made.add_column(column, justify="right" if column == "yours is" else "left")
    main = METRICS[protocol][0]
    yours = next((row.scores[main] for row in rows if row.model == OURS[protocol][0][0]), None)
    for row in rows:
        made.add_row(*_cells(row, protocol, yours), style="bold" if row.ours else "")
    return made


def _cells(row: Row, protocol: str, yours: float | None) -> Iterator[str]:
    yield row.model
    for metric in METRICS[protocol]:
        yield f"{row.scores[metric]:.1f}" if metric in row.scores else ""
    apart = "" if row.ours or yours is None else f"{yours - row.scores[METRICS[protocol][0]]:+.1f}"
    yield apart
    yield "" if row.ours else "yes" if row.human_annotations else "no"
    yield row.inputs
    yield row.resolution
