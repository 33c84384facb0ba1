"""One's own scores are ranked among the published ones of the same protocol."""

import io

from rich.console import Console

from motion_adapt.flows.reports.against_paper import compare, data_sets, print_against_paper
from motion_adapt.storage.datasets.paper_figures import CLIPS

SINGLE = {"J": 0.780, "F": 0.7, "JF": 0.74, "J_matched": 0.808, "F_matched": 0.7, "JF_matched": 0.75}


def printed(*arguments: object) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    print_against_paper(console, *arguments)  # type: ignore[arg-type]
    return console.export_text()


def test_own_rows_are_ranked_among_the_published_ones() -> None:
    rows = compare(SINGLE, "single", "DAVIS2016")
    values = [row.scores["J"] for row in rows]
    assert values == sorted(values, reverse=True)
    names = [row.model for row in rows]
    assert names[names.index("GWM") - 1] == "yours, matched (chosen with labels)"  # 80.8 and 80.7
    assert names[names.index("FODVid") + 1] == "yours, union"  # 78.7 and 78.0
    assert [row.model for row in rows if row.ours] == [
        "yours, matched (chosen with labels)", "yours, union",
    ]  # fmt: skip


def test_semi_supervised_rows_are_not_compared_with() -> None:
    rows = compare({"J": 0.5, "F": 0.6, "JF": 0.55}, "objects", "DAVIS2017-motion")
    assert {"OCLR-flow", "the paper", "yours"} <= {row.model for row in rows}
    assert "CRW" not in {row.model for row in rows}
    assert all(set(row.scores) == {"J", "F", "JF"} for row in rows)


def test_each_protocol_has_its_own_data_sets() -> None:
    assert data_sets("single") == ["DAVIS2016", "SegTrackv2", "FBMS-59"]
    assert data_sets("objects") == ["YouTubeVOS2018-motion", "DAVIS2017-motion"]


def test_the_printed_table_has_figures_differences_and_caveats() -> None:
    text = printed(SINGLE, "single", "STv2", CLIPS["SegTrackv2"])
    line = next(line for line in text.splitlines() if "OCLR-TTA" in line)
    assert "72.3" in line and "+5.7" in line and "480x854" in line
    assert "not comparable" not in text and "ECCV 2024" in text
    assert "not comparable" in printed(SINGLE, "single", "STv2", 3)
    everything = printed(SINGLE, "single", None, 3)
    assert all(name in everything for name in (*data_sets("single"), "--dataset"))
    wrong = printed(SINGLE, "single", "DAVIS17-m", 30)
    assert "no figures on DAVIS2017-motion under --protocol single" in wrong and "GWM" not in wrong
