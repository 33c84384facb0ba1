"""The paper's variants: each one trains, and is loaded from its checkpoint as the same variant."""

from functools import partial

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from motion_adapt.models.adaptation.adapt_corrector import CorrectorClip, adapt_corrector
from motion_adapt.models.adaptation.finetune_upsampler import LabelledClip, finetune_upsampler, true_masks
from motion_adapt.models.inference.pipeline import correct
from motion_adapt.models.inputs import timm_vits
from motion_adapt.models.inputs.features import CompactTokens, load_features
from motion_adapt.models.networks.checkpoints import (
    build_network,
    new_network,
    read_checkpoint,
    save_checkpoint,
)
from motion_adapt.models.networks.compact_features import CompactFeatures
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.dense_corrector import DenseCorrector, _visible
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.selector import MaskSelector
from motion_adapt.models.networks.sizes import SIZES, STEP_SIZES
from motion_adapt.models.pretraining import validation
from motion_adapt.models.pretraining.clip_batches import ClipBatches, ClipProposals, ClipTokens
from motion_adapt.models.pretraining.recipe import finished, fresh_network
from motion_adapt.models.pretraining.train_corrector import CorrectorLoss, pretrain_corrector
from motion_adapt.models.pretraining.train_selector import SelectorLoss, pretrain_selector
from motion_adapt.models.pretraining.validation import held_out, validate_pipeline
from motion_adapt.models.pretraining.variants import (
    CORRECTORS,
    corrector_arguments,
    episode_arguments,
    oclr_arguments,
    selector_arguments,
    shapes,
)
from motion_adapt.models.scoring.ranking import mask_ious
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.training.course import Course, Schedule
from motion_adapt.models.training.loop import train

TINY = {"features": 2, "width": 16, "num_heads": 2, "num_layers": 1, "dropout": 0.0}
SMALL = SyntheticClips(seed=0, frames=4, size=(32, 64))
H, W, T, K, C = 32, 64, 6, 3, 5


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def compact():
    torch.manual_seed(0)
    return CompactTokens("compact", CompactFeatures(channels=8, width=16), channels=8, patch_size=8)


@pytest.fixture(scope="module")
def oclr():
    network = {"features": 2, "width": 32, "num_heads": 2, "num_layers": 1}
    return finished("oclr", fresh_network(OCLR, network, 0), network=network, training={})


def first_and_last(module, batches, loss, steps=50):
    """Return the loss on one small batch at the beginning and at the end of `steps` steps on it."""
    fixed, seen = batches(0, np.random.default_rng(0)), []
    train(
        module,
        lambda step, rng: fixed,
        loss,
        Course(steps=steps, on_step=lambda step, terms: seen.append(terms["loss"])),
        schedule=Schedule(3e-3),
    )
    return np.mean(seen[:3]), np.mean(seen[-3:])


def corrector_learns(oclr, tokens, arguments, *, window=2, exemplars=10, clips=SMALL):
    network = {**TINY, **arguments, "feature_channels": tokens.channels}
    module = fresh_network(partial(new_network, "corrector", network), {}, 0)
    oclr = build_network(oclr).requires_grad_(False)
    loss = CorrectorLoss(ClipProposals(oclr, 0), ClipTokens(tokens, (4, 8), 0), window, exemplars)
    before, after = first_and_last(module, ClipBatches(clips, 1, "exact", 0), loss)
    assert after < 0.9 * before
    return module


# ---- every variant trains


def test_the_scalar_head_learns(oclr, compact):
    module = fresh_network(MaskSelector, {**TINY, **selector_arguments("score"), "feature_channels": 8}, 0)
    proposals = ClipProposals(build_network(oclr).requires_grad_(False), 0)
    loss = SelectorLoss(proposals, ClipTokens(compact, (2, 4), 0))
    before, after = first_and_last(module, ClipBatches(SMALL, 1, "exact", 0), loss)
    assert after < 0.9 * before


def test_alpha_maps_with_one_background_query_learn(oclr, compact):
    module = corrector_learns(oclr, compact, corrector_arguments("alpha", 1))
    assert module.num_queries == K + 1


def test_the_dense_corrector_learns_with_another_window_and_other_exemplars(oclr, compact):
    corrector_learns(oclr, compact, corrector_arguments("dense"), window=4, exemplars=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("background", "window", "exemplars"), [(1, 2, 10), (6, 2, 10), (4, 1, 10), (4, 4, 1)]
)
def test_the_default_maps_learn_with_other_numbers(oclr, compact, background, window, exemplars):
    arguments = corrector_arguments("attention", background)
    corrector_learns(oclr, compact, arguments, window=window, exemplars=exemplars)


BACKBONES = {  # Table 9
    "vit_small_patch16_224.dino": (384, 16),
    "vit_small_patch8_224.dino": (384, 8),
    "vit_small_patch14_dinov2.lvd142m": (384, 14),
    "vit_base_patch16_224.mae": (768, 16),
}


def random_vit(backbone, tmp_path, monkeypatch):
    build = partial(timm.create_model, num_classes=0, dynamic_img_size=True, depth=1)
    monkeypatch.setattr(timm_vits, "_build_vit", build)
    torch.manual_seed(0)
    save_file(build(backbone).state_dict(), tmp_path / "vit.safetensors")
    return load_features(backbone, checkpoint=tmp_path / "vit.safetensors")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_papers_backbones_fit_by_name(tmp_path, monkeypatch, backbone):
    """With random weights and one of the twelve blocks; patches, position table, tokens and norms are the real ones."""
    network = random_vit(backbone, tmp_path, monkeypatch)
    assert (network.channels, network.patch_size) == BACKBONES[backbone]
    rgb = np.random.default_rng(0).integers(0, 255, (1, 90, 160, 3), dtype=np.uint8)
    tokens = network.extract(rgb, (8, 14))
    assert tokens.shape == (1, 8, 14, network.channels) and np.isfinite(tokens).all()


WIDE = [
    "vit_small_patch14_dinov2.lvd142m",
    pytest.param("vit_base_patch16_224.mae", marks=pytest.mark.slow),
    pytest.param("vit_small_patch8_224.dino", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("backbone", WIDE)
def test_correctors_learn_on_their_tokens(oclr, tmp_path, monkeypatch, backbone):
    corrector_learns(oclr, random_vit(backbone, tmp_path, monkeypatch), {})


def labelled(kind=CorrectorClip, **more):
    """Return a clip of a moving square, with exemplars in two frames."""
    rng, masks, marks = np.random.default_rng(0), np.zeros((T, K, H, W), bool), np.zeros((T, K), bool)
    for t in range(T):
        masks[t, 0, 8:24, 4 + 4 * t : 20 + 4 * t] = True
    marks[[1, 4], 0] = True
    tokens = rng.standard_normal((T, H // 8, W // 8, C)).astype(np.float16)
    tokens[..., 0] = masks[:, 0, ::8, ::8]
    return kind(
        rgb=rng.integers(0, 255, (T, H, W, 3), dtype=np.uint8),
        tokens=tokens,
        masks=masks,
        scores=np.full((T, K), 1 / T, np.float32),
        exemplars=marks,
        corrected=masks,
        **more,
    )


def untrained(**arguments):
    network = {**TINY, **arguments, "feature_channels": C}
    module = fresh_network(partial(new_network, "corrector", network), {}, 0)
    return finished("corrector", module, network=network, training={"on": "nothing"})


@pytest.mark.parametrize("maps", ["attention", pytest.param("dense", marks=pytest.mark.slow)])
def test_adaptation_without_reconstruction_learns(maps):
    seen = []
    course = Course(steps=50, rate=3e-3, on_step=lambda step, terms: seen.append(terms))
    start = untrained(**corrector_arguments(maps))
    adapted = adapt_corrector(start, [labelled()], course, window=2, reconstruction=False)
    losses = [terms["loss"] for terms in seen]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3]) and "reconstruction" not in seen[0]
    assert adapted.settings["training"]["reconstruction"] is False


def test_reconstruction_is_part_of_adaptation_by_default():
    seen = []
    adapted = adapt_corrector(
        untrained(), [labelled()], Course(steps=1, on_step=lambda s, terms: seen.append(terms)), window=2
    )
    assert "reconstruction" in seen[0] and adapted.settings["training"]["reconstruction"] is True


# ---- the upsampler, with labels


def test_the_upsampler_alone_learns_from_annotations():
    start, seen = untrained(), []
    annotated = np.zeros((T, K), bool)
    annotated[[0, 3, 5], 0] = True
    clip = labelled(LabelledClip, annotated=annotated)
    made = finetune_upsampler(
        start,
        [clip],
        Course(steps=50, rate=3e-3, on_step=lambda step, terms: seen.append(terms["loss"])),
        window=2,
    )
    assert np.mean(seen[-3:]) < 0.9 * np.mean(seen[:3])
    changed = {n for n, tensor in made.tensors.items() if not torch.equal(tensor, start.tensors[n])}
    assert changed and all(name.startswith("decoder.") for name in changed)
    assert made.settings["training"]["on"] == "annotations"


def test_clips_without_labels_teach_the_upsampler_nothing():
    with pytest.raises(ValueError, match="no mask has an annotation"):
        labelled(LabelledClip, annotated=np.zeros((T, K), bool))
    with pytest.raises(ValueError, match="at least one"):
        finetune_upsampler(untrained(), [], Course(steps=1))


def test_annotations_go_to_the_channel_that_fits():
    proposals = np.zeros((3, 2, 8, 8), bool)
    proposals[:, 1, :4] = True
    truth = {t: np.zeros((3, 8, 8), bool) for t in (0, 2)}
    for objects in truth.values():
        objects[1, :5], objects[2, 6:] = True, True
    masks, known = true_masks(proposals, truth)
    assert known.tolist() == [[True, True], [False, False], [True, True]]
    assert np.array_equal(masks[0, 1], truth[0][1]) and not masks[1].any()
    # of the two remaining objects, the absent one fits the empty channel in every frame
    assert not masks[:, 0].any()
    assert not true_masks(proposals, {})[1].any()


# ---- a checkpoint records its variant


def test_a_trained_variant_is_loaded_as_the_same_variant(oclr, compact, tmp_path):
    made = {
        "score": pretrain_selector(
            oclr, Course(steps=1), features=compact, network={**TINY, **selector_arguments("score")}, frames=2
        )
    }
    for maps in ("alpha", "dense"):
        made[maps] = pretrain_corrector(
            oclr,
            Course(steps=1),
            features=compact,
            network={**TINY, **corrector_arguments(maps)},
            frames=2,
            window=1,
        )
    nets = {}
    for name, checkpoint in made.items():
        save_checkpoint(tmp_path / name, checkpoint)
        nets[name] = build_network(read_checkpoint(tmp_path / name), expect=checkpoint.model)
        for tensor, value in nets[name].state_dict().items():
            assert torch.equal(value, checkpoint.tensors[tensor])
    assert isinstance(nets["score"], MaskSelector) and nets["score"].head == "score"
    assert isinstance(nets["alpha"], MaskCorrector) and nets["alpha"].maps == "alpha"
    assert isinstance(nets["dense"], DenseCorrector)


def test_defaults_add_nothing_to_the_recipes():
    assert oclr_arguments() == selector_arguments() == corrector_arguments() == {} and corrector_arguments(
        "dense", 1
    ) == {"maps": "dense"}
    step = STEP_SIZES["compact"]["corrector"]
    assert episode_arguments(step) == step
    assert episode_arguments(step, window=12, exemplars=15) == {
        **step,
        "window": 12,
        "exemplars": 15,
        "frames": 16,
    }
    assert new_network("corrector", SIZES["compact"]["corrector"]).maps == "attention"
    for wrong in (partial(selector_arguments, "random"), partial(corrector_arguments, "sparse")):
        with pytest.raises(ValueError, match="wanted one of"):
            wrong()
    with pytest.raises(ValueError, match="maps: wanted attention or alpha"):
        MaskCorrector(maps="dense")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("corrector", CORRECTORS)
def test_every_size_has_every_corrector(size, corrector):
    variant = {"selector": "error_map", "corrector": corrector, "background": 1, "window": None}
    shape = shapes(size, **variant, exemplars=10, exemplars_by="propagation")["corrector"]
    with torch.device("meta"):
        net = new_network("corrector", shape["network"])
    assert isinstance(net, DenseCorrector if corrector == "dense" else MaskCorrector)


# ---- the dense corrector


def dense_answer(net, tokens, masks, frames, exemplars=((0, 4), (0, 4), (0, -1))):
    table = torch.tensor([exemplars])
    rows = table[0].clamp(min=0).T  # (E, K)
    objects = torch.arange(K)
    memory = net.remember(tokens[rows][None], masks[rows, objects][None], torch.ones(1, *rows.shape), table)
    rgb = torch.zeros(1, len(frames), 3, H, W)
    return net(rgb, tokens[frames][None], masks[frames][None], torch.tensor([frames]), memory)


@pytest.fixture(scope="module")
def dense():
    return build_network(untrained(maps="dense"))


def test_the_dense_corrector_carries_the_masks_of_exemplars(dense):
    clip = labelled()
    tokens, masks = torch.from_numpy(clip.tokens).float(), torch.from_numpy(clip.masks)
    with torch.no_grad():
        answer = dense_answer(dense, tokens, masks, [2, 3])
    assert answer.logits.shape == (1, 2, K, H, W) and answer.features.shape == (1, K + 1, 2, 4, 8, 0)
    torch.testing.assert_close(answer.alpha.sum(1), torch.ones(1, 2, 4, 8))
    # objects 1 and 2 have empty masks, so nothing is carried over; a full mask stays full
    assert answer.alpha[0, 0].min() > 0 and not answer.alpha[0, 1:3].any()
    with torch.no_grad():
        whole = dense_answer(dense, tokens, torch.ones_like(masks), [2])
    shares = whole.alpha[0, :K]
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / (3 + 1e-3)))


def test_windows_and_fillers_of_the_table_change_nothing(dense):
    clip = labelled()
    tokens, masks = torch.from_numpy(clip.tokens).float(), torch.from_numpy(clip.masks)
    with torch.no_grad():
        filled = dense_answer(dense, tokens, masks, [2, 3], ((0, 4, -1), (0, 4, -1), (0, -1, -1)))
        given = dense_answer(dense, tokens, masks, [2, 3])
    torch.testing.assert_close(filled.logits, given.logits)


def test_a_target_frame_does_not_read_itself_unless_nothing_else_is_there():
    exemplars = torch.tensor([[[3, 5], [3, -1], [-1, -1]]])
    assert _visible(torch.tensor([3]), exemplars).tolist() == [[[False, True], [True, False], [True, True]]]
    assert _visible(torch.tensor([9]), exemplars).tolist() == [[[True, True], [True, False], [True, True]]]


def test_the_dense_corrector_checks_its_inputs(dense):
    clip = labelled()
    tokens, masks = torch.from_numpy(clip.tokens).float(), torch.from_numpy(clip.masks)
    with pytest.raises(ValueError, match="tokens: wanted"):
        dense_answer(dense, tokens[..., :4], masks, [2])


# ---- validation


def test_validation_corrects_from_a_rules_exemplars_and_ranks_by_the_selector(oclr, compact, monkeypatch):
    network, best = {**TINY, "feature_channels": 8}, []
    made = finished("corrector", fresh_network(MaskCorrector, network, 0), network=network, training={})

    def noted(net, rgb, tokens, masks, scores, exemplars, **options):
        best.append(scores.argmax(0).tolist())
        return correct(net, rgb, tokens, masks, scores, exemplars, **options)

    def prefers(frame):
        return lambda tokens, masks, start: np.float32(np.arange(len(masks))[:, None] != frame).repeat(K, 1)

    monkeypatch.setattr(validation, "correct", noted)
    ranked = [
        validate_pipeline(oclr, prefers(3), made, compact, chosen_by=rule, clips=1, frames=4, flow="exact")
        for rule in (prefers(1), None)
    ]
    assert best == [[1] * K, [3] * K]
    assert ranked[0].selection_ap == ranked[1].selection_ap


def test_validation_ranks_frames_by_any_method(oclr, compact):
    """A judge that knows the truth has AP 1; one with the opposite ranking has 0.5 or less."""
    corrector = {**TINY, "feature_channels": 8}
    module = fresh_network(MaskCorrector, corrector, 0)
    made = finished("corrector", module, network=corrector, training={})
    found = {}
    for sign in (1, -1):

        def judge(tokens, masks, start, sign=sign):
            truth = next(held_out(1, 4, "exact", None))[0].modal
            ious = np.nan_to_num(mask_ious(masks, truth).transpose(1, 0, 2))  # (N, T, K)
            best = ious.mean(1).argmax(0)  # of each channel
            return np.stack([-sign * ious[n, :, k] for k, n in enumerate(best)], 1).astype(np.float32)

        found[sign] = validate_pipeline(
            oclr, judge, made, compact, clips=1, frames=4, flow="exact"
        ).selection_ap
    assert found[1] == 1 and found[-1] <= 0.5
