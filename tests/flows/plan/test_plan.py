"""A plan finds what a run has computed, and its figures are near those of the run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.cli.plan_command import print_plan
from motion_adapt.flows.plan.plan import Plan, make_plan
from motion_adapt.flows.plan.rates import SHIPPED, STORED
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.errors import RunError
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.tasks.settings import Settings
from tests.flows.conftest import FIELDS, FRAMES, PLAIN, SETTINGS, SIZE, Home, write_frames
from tests.flows.test_by_hand import drawn, save
from tests.flows.test_shots import three_shots

SCORING = {"scores", "selection-scores"}  # a plan opens no annotations


def plan_of(home: Home, command: str = "adapt", **options: object) -> Plan:
    given = {"weights": str(home.weights), **options}
    return make_plan(command, str(home.clips), SETTINGS, home.place, **given)  # type: ignore[arg-type]


def test_a_plan_waits_for_neither_prefect_nor_mlflow() -> None:
    code = "import sys, motion_adapt.flows.plan.plan; print({'prefect', 'mlflow', 'pandas'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_a_finished_adaptation_leaves_nothing_to_compute(adapted: tuple[Home, Report]) -> None:
    """Every key of the plan, those of the trainings included, is the key of the run."""
    home, report = adapted
    plan = plan_of(home)
    assert {name for name, stage in plan.stages.items() if stage.missing} == set()
    wanted = {name: count["computed"] + count["cached"] for name, count in report.stages.items()}
    # The run asks for some weights twice, and for final masks that a clip keeps from round 0.
    once = {"weights": plan.stages["weights"].stored, "final": report.stages["final"]["computed"]}
    assert {name: stage.stored for name, stage in plan.stages.items()} == {
        name: count for name, count in {**wanted, **once}.items() if name not in SCORING
    }
    assert plan.disk == 0 and plan.seconds < 60
    assert {(size.frames, size.height, size.width) for size in plan.clips.values()} == {(FRAMES, *SIZE)}


def test_what_is_missing_is_priced_by_what_is_stored(again: Home) -> None:
    """One clip's frames and all that follows are deleted. Both clips are of one size, so the prices are known."""
    stages = ("frames", "flow", "proposal", "selection", "correction")
    for stage in stages:
        again.store.delete(next(again.store.manifests(stage)))
    plan = plan_of(again, "segment")
    for name in stages:
        stage, left = plan.stages[name], list(again.store.manifests(name))
        if name == "flow":  # the size of a clip whose frames are gone is not known
            left = [made for made in left if again.store.read_manifest("frames", made.inputs["frames"].key)]
        assert stage.missing >= 1 and stage.sources == {STORED}
        assert stage.seconds == pytest.approx(stage.missing * median(m.made["seconds"] for m in left))
        sizes = [sum(entry.size for entry in manifest.files.values()) for manifest in left]
        assert stage.bytes == pytest.approx(stage.missing * median(sizes))
    assert plan.seconds > sum(stage.seconds for stage in plan.stages.values())


def test_a_run_takes_about_what_its_plan_says(again: Home) -> None:
    """Of a clip that the store has nothing of, by what others of its size took. Bounds are wide: clocks are noisy."""
    clip = SyntheticClips(seed=11, frames=8, size=SIZE).make(0)
    names = [f"{index:05d}" for index in range(8)]
    write_frames(again.clips / "JPEGImages" / "480p" / "newcomer", names, clip.rgb)
    before, planned = again.digests(), plan_of(again, "segment").stages.values()
    again.segment()
    made = [m for m in again.store.manifests() if (m.stage, m.key, m.digest) not in before]
    assert len(made) == sum(stage.missing for stage in planned) >= 12
    assert sum(stage.seconds for stage in planned) / sum(m.made["seconds"] for m in made) < 5
    assert sum(m.made["seconds"] for m in made) / sum(stage.seconds for stage in planned) < 5
    stored = sum(entry.size for m in made for entry in m.files.values())
    assert stored == pytest.approx(sum(stage.bytes for stage in planned), rel=0.5)


def test_nothing_is_written_and_shipped_figures_price_a_first_run(home: Home) -> None:
    before = sorted(home.path.rglob("*"))
    plan = plan_of(home)
    assert sorted(home.path.rglob("*")) == before
    assert all(stage.stored == 0 and stage.sources == {SHIPPED} for stage in plan.stages.values())
    assert plan.stages["adapted-corrector"].missing == plan.stages["finetuned-oclr"].missing == 1
    assert plan.stages["flow"].missing == 4  # two clips, two gaps
    assert 0 < plan.disk < 100e6 and 1e9 < plan.memory < 10e9


def test_flow_is_priced_by_the_estimator_its_updates_and_the_size_that_it_sees(home: Home) -> None:
    height, width = SIZE
    seconds = {}
    for estimator, size, updates, also_dis in (
        ("dis", None, 20, True),
        ("dis", (height // 2, width), 20, True),
        ("raft_large", None, 20, False),
        ("raft_large", None, 8, False),
        ("raft_large", None, 8, True),
    ):
        flow = {"estimator": estimator, "resolution": size, "updates": updates}
        settings = Settings.model_validate({**FIELDS, "flow": flow, "also_dis": also_dis})
        plan = make_plan("segment", str(home.clips), settings, home.place, weights=str(home.weights))
        seconds[estimator, size, updates, also_dis] = plan.stages["flow"].seconds
    own, half, raft, shorter, both = seconds.values()
    assert half == pytest.approx(own / 2) and raft > 10 * own and shorter == pytest.approx(raft / 2)
    assert both == pytest.approx(shorter + own, rel=0.01)


def test_what_stands_in_the_way_is_told(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    folder = home.clips / "JPEGImages" / "480p"
    (folder / "single").mkdir()
    next(folder.glob("heron/*.jpg")).rename(folder / "single" / "00000.jpg")
    plan = plan_of(home, weights=str(home.path / "nowhere"))
    assert list(plan.set_aside) == ["single"] and "needs at least two frames" in plan.set_aside["single"]
    assert any("nowhere" in text for text in plan.warnings)
    assert set(plan.stages) == {"frames", "flow"} and not plan.complete
    print_plan(plan)
    assert "incomplete: at least" in capsys.readouterr().out
    with pytest.raises(RunError, match="does not exist"):
        make_plan("segment", str(home.path / "gone"), SETTINGS, home.place)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"objects": 5}, "the oclr checkpoint has 3 objects"),
        ({"precision": "bfloat16"}, "needs a GPU"),
        ({"proposal": {"folder": "missing"}}, "there is no folder missing"),
    ],
)
def test_a_run_that_would_be_refused_is_not_planned(home: Home, fields: dict[str, object], told: str) -> None:
    settings = Settings.model_validate({**FIELDS, **fields})
    with pytest.raises(RunError, match=told):
        make_plan("segment", str(home.clips), settings, home.place, weights=str(home.weights))


def test_a_champion_may_fit_where_the_presets_weights_do_not(home: Home) -> None:
    settings, given = Settings.model_validate({**FIELDS, "objects": 5}), {"weights": str(home.weights)}
    plan = make_plan("segment", str(home.clips), settings, home.place, from_champion=True, **given)  # type: ignore[arg-type]
    assert plan.complete


def test_a_video_is_split_at_the_cuts_that_the_store_knows(home: Home) -> None:
    video = three_shots(home.path / "in" / "film.mp4")
    given = home.path / "by hand"
    save(given / "film#03" / "00010.png", drawn(2))
    settings = Settings.model_validate(
        {**PLAIN.model_dump(), "selection": {**FIELDS["selection"], "given": str(given)}}
    )

    def planned() -> Plan:
        return make_plan("segment", str(video), settings, home.place, weights=str(home.weights))

    assert list(planned().clips) == ["film"], "nothing is known of a video that was never read"
    home.segment(video, settings=settings)
    plan = planned()
    assert {name: size.frames for name, size in plan.clips.items()} == {
        "film#01": 5, "film#02": 4, "film#03": 5
    }  # fmt: skip
    assert sum(size.bytes for size in plan.clips.values()) <= video.stat().st_size
    assert {name for name, stage in plan.stages.items() if stage.missing} == set()
    assert plan.stages["masks-by-hand"].stored == 1
    # a run that was stopped between the cuts and the frames of a shot
    (shot,) = (made for made in home.store.manifests("frames") if made.summary["frames"] == 4)
    home.store.delete(shot)
    assert planned().stages["frames"].missing == 1


def test_a_file_of_features_that_is_no_checkpoint_of_this_project_is_planned(home: Home) -> None:
    """Such as one of timm's, which no selector sees here. A damaged checkpoint is told in a warning."""
    file = home.path / "dino.safetensors"
    save_file({"pos_embed": torch.zeros(1)}, file)
    backbone = {"backbone": "vit_small_patch16_224", "checkpoint": str(file)}
    fields = {"selection": {"method": "propagation"}, "features": {"selector": backbone}}
    settings = Settings.model_validate({**FIELDS, **fields})
    plan = make_plan("segment", str(home.clips), settings, home.place, weights=str(home.weights))
    # OCLR, the corrector, its features, the start of clip networks and the file
    assert plan.stages["weights"].missing == 5 and plan.stages["final"].missing == 2
    weights = shutil.copytree(home.weights, home.path / "weights")
    (weights / "corrector.safetensors").write_bytes(b"damaged")
    plan = plan_of(home, weights=str(weights))
    assert any("corrector.safetensors is damaged" in text for text in plan.warnings)


def test_a_folder_without_frames_after_the_start_is_set_aside(home: Home) -> None:
    folder = home.clips / "JPEGImages" / "480p" / "heron"
    settings = Settings.model_validate({**FIELDS, "frames": {"start": FRAMES}})
    plan = make_plan("segment", str(folder), settings, home.place)
    assert plan.set_aside == {"heron": "needs at least two frames, none of those of heron is taken"}


def test_the_command_takes_the_options_of_the_run(home: Home) -> None:
    given = home.path / "by hand"
    save(given / "heron" / "00002.png", drawn(1))
    options = [str(home.clips), "--store", str(home.path / "store"), "--device", "cpu"]
    options += ["--exemplars", str(given), "--start", "1", "--end", "5", "--every", "1", "--fast"]
    options += ["--clips", "heron", "--from", "champion", "--threads", "1"]
    printed = []
    for command in (["plan", "--for", "segment"], ["segment", "--plan"]):
        result = CliRunner().invoke(app, [*command, *options])
        assert result.exit_code == 0, result.output
        printed.append(without_free_space(result.output))
    assert printed[0] == printed[1] and "clip-network" not in printed[0] and "masks-by-hand" in printed[0]
    wrong = CliRunner().invoke(app, ["plan", *options])
    assert wrong.exit_code == 2 and "--fast" in wrong.output


def test_the_command_and_the_option_print_the_same_plan(again: Home, tmp_path: Path) -> None:
    options = [option for option in again.options() if "mlflow" not in option]
    shared = [
        part for name in ("--store", "--weights", "--device", "--threads") for part in pair(options, name)
    ]
    shared += [
        part for index, part in enumerate(options) if "--set" in options[max(index - 1, 0) : index + 1]
    ]
    printed = []
    for command in (["plan", "--for", "segment"], ["segment", "--plan"]):
        result = CliRunner().invoke(
            app, [*command, str(again.clips), *shared, "--json", str(tmp_path / "plan.json")]
        )
        assert result.exit_code == 0, result.output
        printed.append(without_free_space(result.stdout))
    assert printed[0] == printed[1] and "heron" in printed[0] and "correction" in printed[0]


def without_free_space(printed: str) -> str:
    """Leave out the disk's free space, which other processes change from one command to the next."""
    shorter, count = re.subn(r"[\d.]+ .?B free", "", printed)
    assert count == 1
    return shorter


def pair(options: list[str], name: str) -> list[str]:
    return options[options.index(name) : options.index(name) + 2]
