"""The page: everything in one file, nothing from elsewhere, names as text, the worst clips first."""

import io
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from motion_adapt.flows.reports.charts import line_chart, scatter
from motion_adapt.flows.reports.compare import compare_clips
from motion_adapt.flows.reports.metric_labels import STEPS
from motion_adapt.flows.reports.page import page
from motion_adapt.flows.reports.page_parts import STEP_WIDTH, settings_groups, staircase
from motion_adapt.flows.reports.publish import artifact_key
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.errors import RunError
from motion_adapt.models.quality.gate import Decision, Verdict
from motion_adapt.storage.tracking import flatten
from motion_adapt.tasks.settings import Settings

NASTY = '<img src=x onerror="alert(1)">'
NAMES = ["heron", NASTY, "tram [raw]", "{{ 7 * 7 }}"]


def clip_table(final: list[float] | None, quality: list[float]) -> pd.DataFrame:
    table = pd.DataFrame({"clip": NAMES, "frames": 8, "quality": quality, "flow_consistency": quality})
    table["alarms"] = ["", "objects swap identities for 33% of the frames", "", ""]
    return table if final is None else table.assign(**{"final/J": final})


class Tracked:
    """The part of a tracker that the page reads."""

    experiment = "walks"

    def __init__(
        self,
        *,
        labels: bool = True,
        figures: str = "",
        by_hand: Sequence[str] = (),
        doubtful: Sequence[dict[str, Any]] = (),
    ) -> None:
        metrics: list[dict[str, float]] = [{"quality": 0.5}, {"quality": 0.55, "agreement_previous": 0.9}]
        if labels:
            for item, score in zip(metrics, (0.50, 0.56), strict=True):
                item |= {
                    "proposal/J": score - 0.1,
                    "proposal/F": score - 0.1,
                    "final/J": score,
                    "final/F": score,
                }
            metrics[1]["spearman/quality"] = 0.8
        report = Report("adapt", f"clips of {NASTY}", figures=figures)
        report.add_round(0, metrics[0], Decision(Verdict.KEEP, ()), {"oclr": "weights/a"}, 1)
        dropped = Decision(Verdict.HOLD, ("flow_consistency 0.850 -> 0.800: fall of 0.050, more than 0.03",))
        report.add_round(1, metrics[1], dropped, {"oclr": "finetuned-oclr/b"}, 2)
        report.clips = {name: {"frames": 8, "alarms": []} for name in NAMES}
        report.doubtful = list(doubtful)
        report.by_hand = {"heron": list(by_hand)} if by_hand else {}
        report.set_aside = {"<b>bad</b>": "0.jpg is no picture"}
        report.final, report.seconds = {"round": 0}, {"total": 3.0}
        report.mlflow = {"uri": "sqlite:///x", "experiment": "walks", "run": "p"}
        self._report, self._metrics = report, metrics
        scores = ([0.9, 0.2, 0.5, 0.4], [0.9, 0.3, 0.1, 0.94]) if labels else (None, None)
        self._tables = [clip_table(scores[i], [0.9, 0.8, 0.3, 0.4]) for i in (0, 1)]

    def get(self, run_id: str) -> Any:
        params = {name: str(v) for name, v in flatten(Settings(seed=7).model_dump(mode="json")).items()}
        tags = {"start.oclr": "weights/a"}
        return SimpleNamespace(
            info=SimpleNamespace(run_name="walks, noon"), data=SimpleNamespace(params=params, tags=tags)
        )

    def rounds(self) -> list[Any]:
        return [
            SimpleNamespace(
                info=SimpleNamespace(run_id=str(i), start_time=i),
                data=SimpleNamespace(tags={"round": str(i), "mlflow.parentRunId": "p"}, metrics=metrics),
            )
            for i, metrics in enumerate(self._metrics)
        ]

    def read(self, run_id: str, name: str) -> bytes:
        if name == "report.json":
            return json.dumps(self._report.json()).encode()
        data = io.BytesIO()
        Image.new("RGB", (1680, 900), (30, 60, 90)).save(data, "PNG")
        return data.getvalue()

    def read_table(self, run_id: str, name: str) -> pd.DataFrame:
        return self._tables[int(run_id)]


class Elements(HTMLParser):
    """Tags, their targets, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.targets: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.targets += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def made(**changes: Any) -> tuple[str, Elements]:
    strips = changes.pop("strips", 24)
    text = page(Tracked(**changes), "p", strips=strips)  # type: ignore[arg-type]
    return text, Elements(text)


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    text, elements = made()
    assert all(target.startswith(("data:image/jpeg;base64,", "#")) for target in elements.targets)
    assert not {"script", "link", "iframe", "object", "base"} & set(elements.tags)
    assert "url(" not in text and "@import" not in text
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text


def test_names_are_text_whatever_they_hold() -> None:
    text, elements = made()
    assert elements.tags.count("img") == len(NAMES)  # only the strips, no image injected by a name
    assert not elements.handlers
    assert NASTY in elements.text and "<b>bad</b>" in elements.text and "{{ 7 * 7 }}" in elements.text
    assert NASTY not in text


def test_clips_are_listed_worst_first_with_their_strips_and_alarms() -> None:
    _, elements = made(strips=2)
    names = ["tram [raw]", NASTY, "heron", "{{ 7 * 7 }}"]
    after = elements.text.index("Clips, worst first")
    places = [elements.text.index(name, after) for name in names]
    assert places == sorted(places)
    assert elements.tags.count("img") == 2
    assert "objects swap identities" in elements.text and "mean of 4" in elements.text


def test_the_gates_decisions_are_in_words_and_rounds_have_differences() -> None:
    _, elements = made()
    assert "Held" in elements.text and "0.850 -> 0.800: fall of 0.050" in elements.text
    assert "+6.0" in elements.text  # final J 50.0 -> 56.0
    assert "finetuned-oclr/b" in elements.text and "set aside" in elements.text


def test_doubtful_frames_have_their_picture_and_the_mask_to_paint() -> None:
    item = {"clip": NASTY, "frame": "00004", "doubt": 0.5, "why": "it jumps", "mask": "masks/x/00004.png"}
    _, elements = made(doubtful=[item])
    assert elements.tags.count("img") == len(NAMES) + 1
    assert "Frames to look at" in elements.text and "Doubt 0.50: it jumps" in elements.text
    assert "masks/x/00004.png" in elements.text
    assert "Frames to look at" not in made()[1].text


def test_masks_by_hand_are_no_secret() -> None:
    _, elements = made(by_hand=["00002", "00006"], labels=False)
    assert "With 2 masks by hand: these results are not label-free." in elements.text
    assert "so these figures are label-free" not in elements.text
    assert "by hand:" not in made()[1].text


def test_without_labels_there_are_no_scores() -> None:
    _, elements = made(labels=False)
    assert (
        "There are no labels to score with, so these figures are label-free" in elements.text
        and "Final J" not in elements.text
        and "Spearman" not in elements.text
    )
    after = elements.text.index("Clips, worst first")
    assert elements.text.index("tram [raw]", after) < elements.text.index("heron", after)  # by quality


def test_smoke_weights_are_marked() -> None:
    assert "Smoke weights" in made(figures="smoke")[1].text
    assert "Smoke weights" not in made()[1].text


def test_settings_that_are_not_the_defaults_are_marked() -> None:
    params = {name: str(value) for name, value in flatten(Settings(seed=7).model_dump(mode="json")).items()}
    changed = {(g, name) for g, rows in settings_groups(params).items() for name, _, new in rows if new}
    assert changed == {("general", "seed")}


# ------------------------------------------------------------------------------------------ comparison of clips


def test_clips_are_ranked_by_j_if_there_are_labels_else_by_quality() -> None:
    before, now = clip_table([0.5, 0.5, 0.5, 0.5], [0.1] * 4), clip_table([0.9, 0.2, 0.4, 0.8], [0.5] * 4)
    found = compare_clips({0: before, 1: now})
    assert found.measure == "final/J"
    assert list(found.table["clip"]) == [NASTY, "tram [raw]", "{{ 7 * 7 }}", "heron"]
    assert list(found.table["change"]) == pytest.approx([-0.3, -0.1, 0.3, 0.4])
    mean = found.records()[-1]
    assert mean["round 0"] == 0.5 and mean["round 1"] == pytest.approx(0.575)
    assert compare_clips({0: clip_table(None, [0.9, 0.8, 0.1, 0.2])}).measure == "quality"


def test_a_clip_without_a_figure_comes_last_and_is_none() -> None:
    now = clip_table([0.9, float("nan"), 0.4, 0.8], [0.5] * 4)
    rows = compare_clips({0: now}).records()
    assert rows[-2]["clip"] == NASTY and rows[-2]["round 0"] is None and rows[0]["change"] is None


def test_nothing_to_rank_by_is_an_error() -> None:
    with pytest.raises(RunError, match="no round has per-clip figures"):
        compare_clips({0: pd.DataFrame({"clip": ["a"], "frames": [8]})})


def test_every_experiment_has_an_artifact_key_that_prefect_accepts() -> None:
    assert artifact_key("my-walks-2024") == "rounds-my-walks-2024"
    keys = {artifact_key(name) for name in ("my-walks", "My Walks (é)", "my_walks", "動画", "映像")}
    assert len(keys) == 5 and all(re.fullmatch("rounds[a-z0-9-]+", key) for key in keys)


# ------------------------------------------------------------------------------------------------------ charts


def test_charts_keep_every_mark_inside_and_higher_values_higher() -> None:
    chart = line_chart({"J": [0.2, None, 0.9]}, ["a", "b", "c"], faint={"x": [0.1, 0.1, 0.95]}, percent=True)
    low, high = chart.lines[0].marks
    assert low.y > high.y and low.x < high.x and high.value == "90.0"
    for line in (*chart.lines, *chart.faint):
        assert all(0 < mark.x < chart.width and 0 < mark.y < chart.height for mark in line.marks)
    assert all(0 <= y <= chart.height for y, _ in chart.y_ticks) and len(chart.y_ticks) >= 3


@pytest.mark.parametrize("values", [[0.0], [0.5, 0.5], [-1e-12, 0.0], [1e6, 2e6, -3e6]])
def test_charts_of_equal_or_extreme_values(values: list[float]) -> None:
    chart = line_chart({"x": values}, [str(i) for i in range(len(values))])
    assert all(0 <= mark.y <= chart.height for mark in chart.lines[0].marks)
    if min(values) >= 0:
        assert all(float(text) >= 0 for _, text in chart.y_ticks)
    assert scatter([("a", value, value) for value in values]).lines[0].marks


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_names_of_steps_do_not_overlap_however_many_there_are(rounds: int) -> None:
    metrics = {f"{stage}/{name}": 0.5 for stage, _ in STEPS for name in "JF"}
    chart = staircase([{"round": index, "metrics": metrics} for index in range(rounds)])
    assert chart is not None
    places = [x for x, _ in chart.x_ticks]
    assert len(places) == rounds * len(STEPS)
    assert min(b - a for a, b in pairwise(places)) > 0.9 * STEP_WIDTH
