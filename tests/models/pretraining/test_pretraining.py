"""Pre-training of tiny networks: losses fall, the same seed gives the same weights, a killed run resumes."""

import inspect
import shutil
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
import torch

from motion_adapt.models.inference.pipeline import correct, select
from motion_adapt.models.inference.proposal_judges import propagation_judge
from motion_adapt.models.inputs.features import CompactTokens
from motion_adapt.models.networks.checkpoints import (
    all_arguments,
    build_network,
    read_checkpoint,
    tensors_digest,
)
from motion_adapt.models.networks.compact_features import CompactFeatures
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.selector import MaskSelector
from motion_adapt.models.networks.sizes import PRETRAINING, SIZES, STEP_SIZES
from motion_adapt.models.pretrain import LEAST, main, pretrain
from motion_adapt.models.pretraining import validation
from motion_adapt.models.pretraining.clip_batches import ClipBatches, ClipProposals, ClipTokens, Kept
from motion_adapt.models.pretraining.oclr_batches import EstimatedPool, OclrBatches, pool_size
from motion_adapt.models.pretraining.recipe import schedule_for
from motion_adapt.models.pretraining.train_corrector import (
    CHOICES,
    CorrectorLoss,
    choose_exemplars,
    pretrain_corrector,
    true_judge,
)
from motion_adapt.models.pretraining.train_features import FeatureBatches, feature_losses, pretrain_features
from motion_adapt.models.pretraining.train_oclr import AmodalLoss, pretrain_oclr
from motion_adapt.models.pretraining.train_selector import SelectorLoss, choose_objects, pretrain_selector
from motion_adapt.models.pretraining.validation import ranking, validate_pipeline
from motion_adapt.models.synthetic.corruptions import CORRUPTIONS, corrupt_clip
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.training.batches import to_device
from motion_adapt.models.training.course import Course, Schedule
from motion_adapt.models.training.loop import VALIDATION_SEED, train
from motion_adapt.tasks.settings import PretrainSettings

TINY_OCLR = {"features": 4, "width": 32, "num_heads": 2, "num_layers": 1}
TINY_SELECTOR = {"features": 4, "width": 16, "num_heads": 2, "num_layers": 1}
TINY_CORRECTOR = {"features": 4, "width": 16, "num_heads": 2, "num_layers": 1}
TINY_FEATURES = {"channels": 8, "width": 16}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def extractor():
    torch.manual_seed(0)
    return CompactTokens("compact", CompactFeatures(**TINY_FEATURES), channels=8, patch_size=8)


@pytest.fixture(scope="module")
def oclr():
    return pretrain_oclr(Course(steps=2), network=TINY_OCLR, frames=4, flow="exact")


def first_and_last(module, batches, loss, steps=30):
    """Return the loss on one small batch before and after `steps` steps on it."""
    fixed = batches(0, np.random.default_rng(0))
    seen = []
    train(
        module,
        lambda step, rng: fixed,
        loss,
        Course(steps=steps, on_step=lambda step, terms: seen.append(terms["loss"])),
        schedule=Schedule(3e-3),
    )
    return np.mean(seen[:3]), np.mean(seen[-3:])


SMALL = SyntheticClips(seed=0, frames=4, size=(64, 112))


def test_oclr_learns():
    torch.manual_seed(0)
    before, after = first_and_last(
        OCLR(**TINY_OCLR), OclrBatches(SMALL, 1, "exact", EstimatedPool(SMALL, 1)), AmodalLoss()
    )
    assert after < 0.9 * before


def test_the_selector_learns(oclr, extractor):
    torch.manual_seed(0)
    module = MaskSelector(**TINY_SELECTOR, feature_channels=8)
    loss = SelectorLoss(
        ClipProposals(build_network(oclr, expect="oclr").requires_grad_(False), 0),
        ClipTokens(extractor, (4, 7), 0),
    )
    before, after = first_and_last(module, ClipBatches(SMALL, 1, "exact", 0), loss)
    assert after < 0.9 * before


def test_the_corrector_learns(oclr, extractor):
    torch.manual_seed(0)
    module = MaskCorrector(**TINY_CORRECTOR, feature_channels=8)
    loss = CorrectorLoss(
        ClipProposals(build_network(oclr, expect="oclr").requires_grad_(False), 0),
        ClipTokens(extractor, (8, 14), 0),
        window=2,
    )
    before, after = first_and_last(module, ClipBatches(SMALL, 1, "exact", 0), loss)
    assert after < 0.9 * before


@pytest.fixture(scope="module")
def masked():
    """Return a clip whose masks have a hole that grows from frame to frame, in a different order for every object."""
    clip = SyntheticClips(seed=5, frames=6, size=(128, 224), max_objects=3).make(2)
    assert clip.modal.any(axis=(2, 3)).all()
    masks = clip.modal.copy()
    for k, order in enumerate(([2, 0, 4, 1, 5, 3], [5, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5])):
        for hole, t in enumerate(order):
            rows = np.flatnonzero(masks[t, k].any(1))
            masks[t, k, rows[: len(rows) * hole // 6]] = False
    return clip, masks


def test_true_errors_choose_the_frames_with_the_best_masks(masked):
    clip, masks = masked
    truth, given, draws = torch.from_numpy(clip.modal), torch.from_numpy(masks), torch.full((6, 3), 0.5)
    nothing = torch.empty(6, 0)
    table, scores = choose_exemplars(true_judge(truth, draws), torch.empty(6, 0), nothing, given, draws)
    assert table.tolist() == [[0, 1, 2, 4], [2, 3, 4, 5], [0, 1, 2, 3]]  # 1 + half of six frames
    assert scores.argmax(0).tolist() == [2, 5, 0]
    torch.testing.assert_close(scores.sum(0), torch.ones(3))


@pytest.mark.parametrize("by", ["propagation", "selector"])
def test_exemplars_are_chosen_as_at_inference(masked, extractor, by):
    clip, masks = masked
    grid, judge = (16, 28), propagation_judge()
    if by == "selector":
        torch.manual_seed(1)
        grid, judge = (8, 14), MaskSelector(**TINY_SELECTOR, feature_channels=8).eval()
    tokens = extractor.extract(clip.rgb, grid)
    draws = torch.full((6, 3), 0.4)
    given = [torch.from_numpy(array) for array in (clip.rgb, tokens, masks)]
    table, scores = choose_exemplars(judge, *given, draws, most=5)
    (expected,) = select(judge, clip.rgb, tokens, masks, t=3)
    assert np.array_equal(scores.numpy(), expected.scores)
    assert [sorted(row) for row in table.tolist()] == [
        np.flatnonzero(column).tolist() for column in expected.exemplars.T
    ]


def test_a_corrector_learns_from_exemplars_chosen_by_the_named_method(oclr, extractor):
    options = {"features": extractor, "network": TINY_CORRECTOR, "frames": 4, "window": 1}
    selector = pretrain_selector(oclr, Course(steps=1), features=extractor, network=TINY_SELECTOR, frames=2)
    made = {
        by: pretrain_corrector(
            oclr, Course(steps=4), **options, exemplars_by=by, selector=selector if by == "selector" else None
        )
        for by in CHOICES
    }
    assert {by: c.settings["training"]["exemplars_by"] for by, c in made.items()} == {
        by: by for by in CHOICES
    }
    assert made["selector"].settings["training"]["selector"] == tensors_digest(selector.tensors)
    assert len({tensors_digest(c.tensors) for c in made.values()}) == len(CHOICES)
    with pytest.raises(ValueError, match="wanted a trained selector to choose by"):
        pretrain_corrector(oclr, Course(steps=1), **options, exemplars_by="selector")
    with pytest.raises(ValueError, match="wanted one of propagation, selector, truth, got 'lot'"):
        pretrain_corrector(oclr, Course(steps=1), **options, exemplars_by="lot")


def test_the_features_learn():
    torch.manual_seed(0)
    before, after = first_and_last(CompactFeatures(**TINY_FEATURES), FeatureBatches(SMALL, 2), feature_losses)
    assert after < 0.9 * before


def test_the_same_seed_gives_the_same_checkpoint(oclr):
    again = pretrain_oclr(Course(steps=2), network=TINY_OCLR, frames=4, flow="exact")
    other = pretrain_oclr(Course(steps=2, seed=1), network=TINY_OCLR, frames=4, flow="exact")
    assert tensors_digest(oclr.tensors) == tensors_digest(again.tensors) != tensors_digest(other.tensors)
    assert oclr.settings == again.settings


def test_checkpoints_record_what_they_were_trained_on(oclr, extractor):
    selector = pretrain_selector(oclr, Course(steps=1), features=extractor, network=TINY_SELECTOR, frames=2)
    assert selector.settings["features"] == {"name": "compact", "channels": 8, "patch": 8}
    assert selector.settings["network"]["feature_channels"] == 8
    assert selector.settings["training"]["oclr"] == tensors_digest(oclr.tensors)
    assert not build_network(selector, expect="selector").training


def test_a_head_does_not_resume_with_other_features(oclr, extractor, tmp_path):
    """Neither does a corrector whose exemplars are chosen by a selector with other features."""
    torch.manual_seed(1)
    other = CompactTokens("compact", CompactFeatures(**TINY_FEATURES), channels=8, patch_size=8)
    options = {"frames": 2, "network": TINY_SELECTOR}
    selector = pretrain_selector(oclr, Course(steps=1), features=extractor, **options)
    assert selector.settings["training"]["features"]["sha256"] == tensors_digest(
        extractor.module.state_dict()
    )
    by = {
        "exemplars_by": "selector",
        "selector": selector,
        "window": 1,
        "frames": 2,
        "network": TINY_CORRECTOR,
    }
    corrector = partial(pretrain_corrector, features=extractor, **by)
    for train_head, named in (
        (partial(pretrain_selector, **options), "features"),
        (partial(pretrain_corrector, **options, window=1), "features"),
        (corrector, "selector_features"),
    ):
        course = Course(steps=1, state=tmp_path / f"{len(list(tmp_path.iterdir()))}.pt")
        train_head(oclr, course, **{named: extractor})
        with pytest.raises(ValueError, match=f"another run: it has .*'{named}'"):
            train_head(oclr, course, **{named: other})


def test_tokens_are_the_same_whatever_a_selector_is_trained_in(oclr, extractor):
    class Seeing(CompactTokens):
        halves = False

        def extract(self, frames, grid):
            self.halves |= torch.is_autocast_enabled("cpu")
            return super().extract(frames, grid)

    seeing = Seeing("compact", extractor.module, channels=8, patch_size=8)
    options = {"network": TINY_SELECTOR, "frames": 2}
    pretrain_selector(oclr, Course(steps=1, precision="bfloat16"), features=seeing, **options)
    assert not seeing.halves


def test_a_recipe_identifies_pictures_by_their_content(tmp_path):
    def recipe(**folders):
        return pretrain_oclr(Course(steps=1), network=TINY_OCLR, frames=2, flow="exact", **folders).settings[
            "training"
        ]

    for name, level in (("a", 255), ("b", 255), ("c", 1)):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / f"{name}.png"), np.full((40, 60), level, np.uint8))
    plain, *told = [recipe(), *(recipe(silhouettes=tmp_path / name) for name in "abc")]
    assert "silhouettes" not in plain and told[0]["silhouettes"]["count"] == 1
    assert told[0] == told[1] != told[2]
    assert recipe(photos=tmp_path / "a") == recipe(photos=tmp_path / "b")


def test_a_pool_of_clips_computes_their_tokens_once(oclr, extractor):
    class Counting:
        name, channels, patch_size, frames = "counting", 8, 8, 0
        module = extractor.module

        def extract(self, frames, grid):
            self.frames += len(frames)
            return extractor.extract(frames, grid)

    counting = Counting()
    pretrain_selector(oclr, Course(steps=8), features=counting, network=TINY_SELECTOR, frames=2, pool=2)
    assert counting.frames <= 2 * 2


def test_a_pool_grows_with_its_training_up_to_a_memory_limit():
    """The limit is 4 GB, checked against the actual size of a clip."""
    clips = SyntheticClips(seed=0, frames=2, size=(64, 112))
    clip_bytes = sum(array.nbytes for array in EstimatedPool(clips, 1).make(0).values())
    assert pool_size(16_000, 8, 64, 112) == 800  # compact, 20k steps
    most = pool_size(10**9, 30, 128, 224)  # the paper's
    assert most * 15 * 4 * clip_bytes <= 4e9 < (most + 1) * 15 * 4 * clip_bytes
    assert pool_size(1, 8, 64, 112) == pool_size(10**9, 1000, 1024, 1792) == 1


def test_batches_hold_what_they_promise(oclr):
    clips = SyntheticClips(seed=0, frames=3)
    batch = OclrBatches(clips, 2, "noisy", EstimatedPool(clips, 1))(0, np.random.default_rng(0))
    B, T = batch["flow"].shape[:2]
    assert batch["flow"].shape == (2, T, 4, 128, 224) and batch["amodal"].shape == (B, T, 3, 128, 224)
    batches = ClipBatches(clips, 2, "exact", 0)
    batch, again = (batches(5, np.random.default_rng(1)) for _ in range(2))
    assert batch["numbers"] == [10, 11]
    assert all(np.array_equal(batch[name], again[name]) for name in ("rgb", "flow", "truth", "damaged"))


def test_proposals_come_from_oclr_if_requested(oclr):
    batch = ClipBatches(SyntheticClips(seed=0, frames=3), 1, "exact", 0)(0, np.random.default_rng(0))
    batch = to_device(batch, "cpu")
    proposals = ClipProposals(build_network(oclr, expect="oclr").requires_grad_(False), 1)
    batch["proposed"] = torch.zeros(1, 3, 3, dtype=torch.bool)
    assert torch.equal(proposals.of(batch), batch["damaged"])
    batch["proposed"][0, 1] = True
    mixed = proposals.of(batch)
    assert torch.equal(mixed[:, [0, 2]], batch["damaged"][:, [0, 2]])
    assert mixed[:, 1].sum(1).max() <= 1  # OCLR's modal masks are disjoint


def test_cached_results_stay_in_memory_up_to_a_limit():
    kept, asked = Kept(2), []
    for number in (1, 2, 1, 3, 1):
        kept.of(number, lambda number=number: asked.append(number))
    assert asked == [1, 2, 3, 1] and list(kept.kept) == [3, 1]


def test_tokens_are_those_of_the_clip(extractor):
    tokens = ClipTokens(extractor, (8, 14), 2)
    batch = {"numbers": [4, 5], "rgb": torch.randint(0, 255, (2, 2, 128, 224, 3), dtype=torch.uint8)}
    found = tokens.of(batch)
    assert found.shape == (2, 2, 8, 14, 8) and found.dtype == torch.float32
    alone = extractor.extract(batch["rgb"][1].numpy(), (8, 14))
    np.testing.assert_allclose(found[1], alone, atol=5e-3)


def test_clips_of_a_pool_recur_unchanged():
    clips = SyntheticClips(seed=0, frames=3, size=(32, 56))
    batches = ClipBatches(clips, 2, "noisy", 1)
    first, second = (batches(step, np.random.default_rng(step)) for step in (0, 1))
    for name in ("rgb", "flow", "truth"):
        np.testing.assert_array_equal(first[name], second[name])
    assert first["numbers"] == second["numbers"] and not np.array_equal(first["damaged"], second["damaged"])


def test_clips_of_two_supplies_have_different_numbers():
    batches = [
        ClipBatches(SyntheticClips(seed=seed, frames=2, size=(32, 56)), 2, "exact", 0) for seed in (0, 1)
    ]
    numbers = [n for batch in batches for n in batch(0, np.random.default_rng(0))["numbers"]]
    assert len(set(numbers)) == 4


def test_visible_objects_are_usually_the_ones_judged():
    truth = torch.zeros(1, 2, 3, 8, 8, dtype=torch.bool)
    truth[0, 1, 1, 2:4] = True
    draws = torch.rand(1, 2, 3)
    draws[0, 0, 0] = 0.9
    assert choose_objects(truth, draws).tolist() == [1]
    assert 0 <= choose_objects(torch.zeros_like(truth), draws).item() <= 2


def test_corruptions_keep_shape_and_cope_with_empty_masks():
    square = np.zeros((32, 48), bool)
    square[8:20, 10:30] = True
    for corruption in CORRUPTIONS:
        for mask in (square, np.zeros_like(square)):
            damaged = corruption(np.random.default_rng(0), mask, ~square)
            assert damaged.shape == mask.shape and damaged.dtype == bool, corruption.__name__
    masks = np.stack([square[None].repeat(3, 0)] * 6)
    before = masks.copy()
    damaged = corrupt_clip(np.random.default_rng(0), masks)
    assert np.array_equal(masks, before)
    frames_hit = (damaged != masks).any(axis=(2, 3)).mean()
    assert 0.1 < frames_hit < 0.95


def test_some_clips_have_an_error_in_all_their_frames():
    square = np.zeros((6, 1, 64, 112), bool)
    square[:, :, 16:48, 30:80] = True
    damaged = [corrupt_clip(np.random.default_rng(seed), square) for seed in range(40)]
    everywhere = [(masks != square).any(axis=(1, 2, 3)).all() for masks in damaged]
    assert 0.3 < np.mean(everywhere) < 0.9


def test_compact_tokens_have_unit_variance_and_belong_to_their_patch():
    net = CompactFeatures().eval()
    assert sum(p.numel() for p in net.parameters()) <= 1_000_000
    with torch.inference_mode():
        tokens = net(torch.randn(2, 3, 64, 112))
        assert tokens.shape == (2, 64, 8, 14)
        torch.testing.assert_close(tokens.var(1, unbiased=False), torch.ones(2, 8, 14), atol=1e-2, rtol=0)
        assert torch.allclose(net(torch.ones(1, 3, 64, 112)), net(torch.ones(2, 3, 64, 112))[:1], atol=1e-5)
    with pytest.raises(ValueError, match="multiple of 8"):
        net(torch.zeros(1, 3, 60, 112))
    with pytest.raises(ValueError, match="power of two"):
        CompactFeatures(patch_size=14)


def test_validation_measures_held_out_clips(oclr, extractor):
    options = {"features": extractor, "frames": 2}
    selector = pretrain_selector(oclr, Course(steps=1), network=TINY_SELECTOR, **options)
    corrector = pretrain_corrector(oclr, Course(steps=1), network=TINY_CORRECTOR, window=1, **options)
    found = validate_pipeline(oclr, selector, corrector, extractor, clips=2, frames=3, flow="exact")
    assert all(0 <= value <= 1 for value in (found.proposals, found.corrected, found.alphas))
    with pytest.raises(ValueError, match="clips: wanted at least 1, got 0"):
        validate_pipeline(oclr, selector, corrector, extractor, clips=0, frames=3, flow="exact")


def test_a_long_clip_is_validated_as_one_part(oclr, extractor, monkeypatch):
    options = {"features": extractor, "frames": 2}
    corrector = pretrain_corrector(oclr, Course(steps=1), network=TINY_CORRECTOR, window=1, **options)
    for choose in (select, correct):
        monkeypatch.setattr(validation, choose.__name__, partial(choose, target=4))
    monkeypatch.setitem(select.__kwdefaults__, "limit", 5)
    monkeypatch.setitem(correct.__kwdefaults__, "limit", 5)
    found = validate_pipeline(
        oclr, propagation_judge(), corrector, extractor, clips=1, frames=6, flow="exact"
    )
    assert 0 <= found.corrected <= 1


def test_ranking_compares_predicted_with_true_error():
    clip = SyntheticClips(seed=0, frames=4, size=(64, 112), max_objects=1).make(0)
    masks = clip.modal.copy()
    for t in range(4):
        masks[t, 0, : 8 * t] = True
    assert ranking(np.arange(4.0)[:, None].repeat(3, 1), masks, clip) == pytest.approx(1)
    assert ranking(-np.arange(4.0)[:, None].repeat(3, 1), masks, clip) == pytest.approx(-1)
    tied = np.array([0.0, 0.0, 0.0, 1.0])  # equal errors share their mean rank
    assert ranking(tied[:, None].repeat(3, 1), masks, clip) == pytest.approx(0.6**0.5)
    assert np.isnan(ranking(np.ones((4, 3)), masks, clip))


def test_long_runs_get_the_published_schedule():
    assert schedule_for(Course(steps=600_000)) == Schedule.published()
    assert schedule_for(Course(steps=100, rate=1e-2)).rate == 1e-2


@pytest.fixture
def tiny_sizes(monkeypatch):
    tiny = {
        "features": TINY_FEATURES,
        "oclr": TINY_OCLR,
        "selector": TINY_SELECTOR,
        "corrector": TINY_CORRECTOR,
    }
    clip = {"frames": 3, "batch": 1}
    steps = {"features": {"pairs": 1}, "oclr": clip, "selector": clip, "corrector": {**clip, "window": 2}}
    monkeypatch.setitem(SIZES, "compact", tiny)
    monkeypatch.setitem(STEP_SIZES, "compact", steps)


def test_the_command_line_trains_all_networks_and_resumes_after_a_kill(tmp_path, tiny_sizes):
    class Killed(Exception):
        pass

    def kill_in_selector(line):
        if line.startswith("selector 2/"):
            raise Killed

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    main(["--out", str(whole), "--steps", "3"])
    with pytest.raises(Killed):
        pretrain(broken, steps=3, report=kill_in_selector)
    lines = []
    files = pretrain(broken, steps=3, report=lines.append)
    assert list(files) == ["features", "oclr", "selector", "corrector"]
    assert not [line for line in lines if line.startswith("oclr 1/")]  # it was finished before
    for stage, path in files.items():
        assert read_checkpoint(path).model == stage
        assert path.read_bytes() == (whole / path.name).read_bytes()


@pytest.mark.parametrize("model", ["features", "oclr", "selector", "corrector"])
def test_a_training_starts_from_weights_and_records_them(model, oclr, extractor):
    heads = {"features": extractor, "frames": 2}
    train_model = {
        "features": partial(pretrain_features, network=TINY_FEATURES, pairs=1),
        "oclr": partial(pretrain_oclr, network=TINY_OCLR, frames=2, flow="exact"),
        "selector": partial(pretrain_selector, oclr, network=TINY_SELECTOR, **heads),
        "corrector": partial(pretrain_corrector, oclr, network=TINY_CORRECTOR, window=1, **heads),
    }[model]
    begun = train_model(Course(steps=1, seed=3))
    # at this rate nothing changes: a training ends with the weights that it started with
    further, scratch = (train_model(Course(steps=1, rate=1e-30), start=start) for start in (begun, None))
    for name, tensor in begun.tensors.items():
        torch.testing.assert_close(further.tensors[name], tensor, rtol=0, atol=1e-12)
    assert tensors_digest(scratch.tensors) != tensors_digest(begun.tensors)
    told = further.settings["training"].pop("start")
    assert told == {**begun.settings["training"], "sha256": tensors_digest(begun.tensors)}
    assert further.settings == scratch.settings  # without a start, the recipe has no entry for it


def test_an_oclr_that_sees_the_residual_can_start_from_one_that_does_not(oclr):
    network = {**TINY_OCLR, "residual": True}
    train_oclr = partial(pretrain_oclr, network=network, frames=2, flow="exact", start=oclr)
    begun, learnt = (train_oclr(Course(steps=1, rate=rate)) for rate in (1e-30, 1e-2))
    flow = torch.randn(1, 2, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    before, after = (build_network(checkpoint, expect="oclr")(flow) for checkpoint in (oclr, begun))
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old)
    assert learnt.tensors["encoder.blocks.0.conv1.weight"][:, 4:].any()
    assert begun.settings["training"]["start"]["sha256"] == tensors_digest(oclr.tensors)
    with pytest.raises(ValueError, match="start from is another network: residual=True instead of False"):
        pretrain_oclr(Course(steps=1), network=TINY_OCLR, frames=2, flow="exact", start=begun)


def test_a_start_of_another_network_or_for_other_features_is_refused(oclr, extractor):
    with pytest.raises(ValueError, match="the oclr to start from is another network: width=32 instead of 64"):
        pretrain_oclr(Course(steps=1), network={**TINY_OCLR, "width": 64}, start=oclr)
    with pytest.raises(ValueError, match="wanted a model 'features', got 'oclr'"):
        pretrain_features(Course(steps=1), start=oclr)
    head = pretrain_selector(oclr, Course(steps=1), features=extractor, network=TINY_SELECTOR, frames=2)
    for changed, has, wanted in (("name", "vit", "compact"), ("patch", 16, 8)):
        read = {**head.settings["features"], changed: has}
        other = replace(head, settings={**head.settings, "features": read})
        with pytest.raises(ValueError, match=f"reads other features: {changed}={has} instead of {wanted}"):
            pretrain_selector(
                oclr, Course(steps=1), features=extractor, network=TINY_SELECTOR, frames=2, start=other
            )


def test_patches_that_do_not_fit_the_training_frames_are_refused():
    with pytest.raises(ValueError, match=r"patch_size: wanted a divisor of 64 and 112, .* got 32"):
        pretrain_features(Course(steps=1), network={**TINY_FEATURES, "patch_size": 32})


def test_explicit_defaults_give_the_same_network(oclr):
    spelt = {**TINY_OCLR, "dropout": all_arguments("oclr", {})["dropout"]}
    assert spelt != TINY_OCLR
    pretrain_oclr(Course(steps=1), network=spelt, frames=2, flow="exact", start=oclr)


def test_the_command_line_starts_from_a_folder_and_trains_the_rest_from_scratch(tmp_path, tiny_sizes, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    main(["--out", str(first), "--steps", "1", "--only", "oclr"])
    main(["--out", str(second), "--steps", "1", "--only", "features,oclr", "--start", str(first)])
    begun = read_checkpoint(first / "oclr.safetensors")
    oclr, features = (read_checkpoint(second / f"{name}.safetensors") for name in ("oclr", "features"))
    assert oclr.settings["training"]["start"]["sha256"] == tensors_digest(begun.tensors)
    assert "start" not in features.settings["training"]
    for out, said in ((first, "is the folder to write to"), (second, "holds none of features.safetensors")):
        with pytest.raises(SystemExit):
            main(["--out", str(out), "--steps", "1", "--only", "features", "--start", str(first)])
        assert said in capsys.readouterr().err


def test_a_given_feature_network_is_not_trained_and_joins_the_networks_that_read_it(tmp_path, tiny_sizes):
    first, second = tmp_path / "first", tmp_path / "second"
    main(["--out", str(first), "--steps", "1", "--only", "features"])
    given = ["--features-checkpoint", str(first / "features.safetensors")]
    main(["--out", str(second), "--steps", "2", "--only", "features,oclr,selector", *given])
    assert (second / "features.safetensors").read_bytes() == (first / "features.safetensors").read_bytes()
    features, selector = (
        read_checkpoint(second / f"{name}.safetensors") for name in ("features", "selector")
    )
    read = selector.settings["training"]["features"]
    assert read["sha256"] == tensors_digest(features.tensors) and features.settings["training"]["steps"] == 1


def test_a_folder_keeps_the_feature_network_that_its_networks_read(tmp_path, tiny_sizes, capsys):
    one, other = tmp_path / "one", tmp_path / "other"
    for seed, out in enumerate((one, other)):
        main(["--out", str(out), "--steps", "1", "--only", "features", "--seed", str(seed)])
    begun = ["--out", str(one), "--steps", "1", "--only", "oclr", "--features-checkpoint"]
    main([*begun, str(one / "features.safetensors")])
    with pytest.raises(SystemExit):
        main([*begun, str(other / "features.safetensors")])
    assert "name another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *((f"--{name} {least - 1}", f"{name}: wanted at least {least}") for name, least in LEAST.items()),
        (f"--seed {VALIDATION_SEED}", "is that of the clips for validation"),
        ("--rate 0", "rate: wanted a positive number"),
        ("--only features --features vit_tiny_patch16_224", "nothing to train"),
        ("--only features --features-checkpoint features.safetensors", "nothing to train"),
    ],
)
def test_options_that_no_training_can_have_are_refused(tmp_path, tiny_sizes, capsys, options, said):
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path / "out"), "--steps", "1", *options.split()])
    assert ended.value.code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_both_entry_points_have_the_same_least_numbers():
    fields = PretrainSettings.model_fields
    for name in LEAST.keys() & fields.keys():
        assert [rule.ge for rule in fields[name].metadata if hasattr(rule, "ge")] == [LEAST[name]], name


def test_the_command_line_says_why_a_training_ended(tmp_path, tiny_sizes, capsys, monkeypatch):
    main(["--out", str(tmp_path), "--steps", "1", "--only", "oclr"])
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path), "--steps", "1", "--only", "selector"])
    assert ended.value.code == 1 and "weights missing: the compact feature" in capsys.readouterr().err

    def diverge(course, **options):
        raise FloatingPointError("training: no finite loss")

    monkeypatch.setattr("motion_adapt.models.pretrain.pretrain_features", diverge)
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path), "--steps", "1", "--only", "features"])
    assert ended.value.code == 1 and "no finite loss" in capsys.readouterr().err


def test_both_entry_points_have_the_same_defaults(tmp_path, tiny_sizes):
    given = vars(PretrainSettings())
    assert {name: given[name] for name in PRETRAINING} == PRETRAINING
    signature = inspect.signature(pretrain).parameters
    assert {name: signature[name].default for name in PRETRAINING} == PRETRAINING
    main(["--out", str(tmp_path), "--steps", "1"])
    training = read_checkpoint(tmp_path / "corrector.safetensors").settings["training"]
    assert (training["pool"], training["rate"], training["window"]) == (0, None, 2)
    shutil.rmtree(tmp_path / ".state")
    again = ["--only", "corrector", "--pool", "2", "--window", "1", "--exemplars", "1", "--rate", "1e-4"]
    main(["--out", str(tmp_path), "--steps", "2", *again])
    training = read_checkpoint(tmp_path / "corrector.safetensors").settings["training"]
    assert [training[name] for name in ("pool", "rate", "window", "exemplars")] == [2, 1e-4, 1, 1]
    shutil.rmtree(tmp_path / ".state")
    main(["--out", str(tmp_path), "--steps", "1", "--only", "corrector", "--exemplars-by", "selector"])
    selector, corrector = (
        read_checkpoint(tmp_path / f"{name}.safetensors") for name in ("selector", "corrector")
    )
    assert corrector.settings["training"]["selector"] == tensors_digest(selector.tensors)


@pytest.mark.slow
def test_drawing_clips_in_other_processes_changes_nothing(tmp_path, tiny_sizes):
    more = ["--steps", "2", "--batch", "3", "--frames", "6", "--flow", "dis", "--pool", "2"]
    alone, helped = tmp_path / "alone", tmp_path / "helped"
    main(["--out", str(alone), *more])
    main(["--out", str(helped), *more, "--workers", "1"])
    for model in ("features", "oclr", "selector", "corrector"):
        first, second = (read_checkpoint(out / f"{model}.safetensors") for out in (alone, helped))
        assert tensors_digest(first.tensors) == tensors_digest(second.tensors), model
        assert first.settings["training"].get("batch", 3) == 3
    assert read_checkpoint(alone / "oclr.safetensors").settings["training"]["frames"] == 6


def test_the_command_line_reports_what_is_missing(tmp_path, tiny_sizes, capsys):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--steps", "1", "--only", "selector,tracker"])
    assert "tracker" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--steps", "1", "--only", "features,corrector"])
    assert "oclr.safetensors" in capsys.readouterr().err
    main(["--out", str(tmp_path), "--steps", "1", "--only", "oclr"])
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--steps", "1", "--only", "corrector", "--exemplars-by", "selector"])
    assert "selector.safetensors does not exist" in capsys.readouterr().err
