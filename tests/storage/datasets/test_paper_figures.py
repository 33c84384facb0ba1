"""The paper's figures: every table loads, and the figures are as printed."""

import pytest

from motion_adapt.storage.datasets.paper_figures import CLIPS, EXCERPTS, TITLES, full_name, published

# The number of figures in each table, to notice a row lost or duplicated by an edit.
COUNTS = {
    3: 4, 4: 4, 5: 6, 6: 6, 7: 6, 8: 2, 9: 3, 10: 6, 11: 8, 12: 5, 13: 10, 14: 16, 15: 4, 16: 8, 17: 12, 18: 4,
    19: 93, 20: 94,
}  # fmt: skip


@pytest.mark.parametrize("table", TITLES)
def test_every_table_loads_with_all_its_figures(table: int) -> None:
    figures = published(table=table)
    assert len(figures) == COUNTS[EXCERPTS.get(table, table)]
    for figure in figures:
        assert 0 < figure.value < (1 if figure.metric == "AP" else 100)
        assert figure.data_set in CLIPS or figure.metric == "seconds_per_frame"
        assert figure.metric in ("J", "F", "JF", "AP", "seconds_per_frame")


def test_no_figure_is_listed_twice() -> None:
    keys = [
        (item.table, item.model, tuple(item.setting.items()), item.data_set, item.protocol, item.metric)
        for item in published()
    ]
    assert len(keys) == len(set(keys)) == sum(COUNTS.values())


@pytest.mark.parametrize(
    "asked, setting, value",
    [
        ({"table": 3}, {"selection": "error_map"}, 0.893),
        ({"table": 6, "data_set": "YTVOS18-m"}, {"target_frames": "5"}, 60.6),
        ({"table": 10, "model": "OCLR-flow"}, {"flow": "ARFlow"}, 39.5),
        ({"table": 11, "model": "MG-sup"}, {"refinement": "yes"}, 59.2),
        ({"table": 14, "metric": "seconds_per_frame"}, {"per_clip": "yes", "crf": "no"}, 2.03),
        ({"table": 14, "data_set": "DAVIS17-m"}, {"crf": "yes"}, 67.0),
        ({"table": 16, "data_set": "YTVOS18-m"}, {"corrector_adapted": "yes", "finetuned_upsampler": "yes"}, 66.7),
        ({"table": 17, "data_set": "DAVIS17-m"}, {"post_processing": "HQ-SAM"}, 71.2),
        ({"table": 2, "model": "the paper", "data_set": "FBMS59"}, {}, 81.9),
        ({"table": 20, "model": "MATNet", "data_set": "STv2"}, {}, 50.4),
        ({"table": 19, "model": "VideoCutLER", "data_set": "YTVOS18-m", "metric": "F"}, {}, 55.1),
    ],
)  # fmt: skip
def test_figures_are_the_published_ones(asked: dict, setting: dict[str, str], value: float) -> None:
    (found,) = [item for item in published(**asked) if setting.items() <= item.setting.items()]
    assert found.value == value


def test_jf_of_the_multi_object_table_is_the_mean_of_j_and_f_as_printed() -> None:
    table = {
        (item.model, item.human_annotations, item.data_set, item.metric): item.value
        for item in published(table=19)
    }
    for (model, labels, data_set, metric), value in table.items():
        if metric == "JF":
            parts = [table[model, labels, data_set, name] for name in ("J", "F")]
            assert value == pytest.approx(sum(parts) / 2, abs=0.11)


def test_unknown_tables_and_data_sets_are_errors_that_list_the_known_ones() -> None:
    assert full_name("davis16") == full_name("DAVIS2016") == "DAVIS2016"
    with pytest.raises(ValueError, match="DAVIS2017-motion"):
        published(data_set="KITTI")
    with pytest.raises(ValueError, match="1 to 20"):
        published(table=21)
