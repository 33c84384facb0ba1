"""The networks at small sizes: defined results in edge cases, and optimisations that do not change results."""

import pytest
import torch
from torch import Tensor, nn

from motion_adapt.models.networks import unet
from motion_adapt.models.networks.blocks import Norm, OtherFramesAttention, SlotAttention, stack
from motion_adapt.models.networks.compact_features import CompactFeatures
from motion_adapt.models.networks.corrector import TRUST, Correction, MaskCorrector
from motion_adapt.models.networks.dense_corrector import DenseCorrector
from motion_adapt.models.networks.exemplar_prior import recall, recallable
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.selector import MaskSelector, predicted_error, scores

H, W = 32, 64


def _rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _oclr(**sizes: int) -> OCLR:
    torch.manual_seed(0)
    return OCLR(**{"features": 4, "width": 32, **sizes}).eval()


def _selector(**sizes: int) -> MaskSelector:
    torch.manual_seed(0)
    return MaskSelector(**{"features": 4, "width": 32, "feature_channels": 12, **sizes}).eval()


def _corrector(**sizes: int) -> MaskCorrector:
    torch.manual_seed(0)
    return MaskCorrector(**{"features": 4, "width": 48, "feature_channels": 12, **sizes}).eval()


def _correct(net: MaskCorrector, T: int, E: int, *, B: int = 1, frames: Tensor | None = None) -> Correction:
    K, C = net.num_objects, net.feature_channels
    frames = torch.arange(E).expand(B, K, E) if frames is None else frames
    memory = net.remember(
        _rand(B, E, K, H // 8, W // 8, C, seed=1),
        (_rand(B, E, K, H, W, seed=2) > 0).float(),
        _rand(B, E, K, seed=3).softmax(1),
        frames,
    )
    masks = (_rand(B, T, K, H, W, seed=4) > 0).float()
    rgb, tokens = _rand(B, T, 3, H, W, seed=5), _rand(B, T, H // 8, W // 8, C, seed=6)
    return net(rgb, tokens, masks, torch.arange(T).expand(B, T), memory)


def _close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


# ---- shared parts


def test_norm_divides_by_the_sample_deviation_plus_epsilon() -> None:
    x = _rand(5, 8)
    _close(Norm(8)(x), (x - x.mean(-1, keepdim=True)) / (x.std(-1, correction=1, keepdim=True) + 1e-5))
    assert Norm(8)(torch.ones(2, 8)).eq(0).all()


def test_layers_of_a_stack_start_equal_and_share_nothing() -> None:
    first, second = stack(nn.Linear(3, 3), 2)
    assert torch.equal(first.weight, second.weight) and first.weight is not second.weight


@pytest.mark.parametrize("frames", [2, 5])
def test_attention_between_frames_is_the_masked_attention(frames: int) -> None:
    attention = OtherFramesAttention(16, 4, 0.1).eval()
    x = _rand(2, frames * 3, 16)
    query, (key, value) = attention.project_query(x), attention.project_key_value(x)
    frame = torch.arange(frames).repeat_interleave(3)
    s = (query @ key.mT / 2).masked_fill(frame[:, None] == frame, -1e9)
    expected = attention.merge(s.softmax(-1) @ value)
    _close(attention(x, frames), expected)
    _close(attention.merge(attention._frame_by_frame(query, key, value, frames, 0.0)), expected)


def test_a_single_frame_is_read_with_uniform_weights() -> None:
    attention = OtherFramesAttention(16, 4, 0.0).eval()
    x = _rand(1, 6, 16)
    value = attention.project_key_value(x)[1]
    _close(attention(x, 1), attention.merge(value.mean(2, keepdim=True).expand_as(value)))


def test_slot_attention_competes_over_queries_and_hides_frames() -> None:
    attention = SlotAttention(16, 4, 0.1).eval()
    Q, T, F, n = 3, 2, 4, 5
    x = _rand(1, Q * T, 16)
    key, value = attention.project_key_value(_rand(1, F * n, 16, seed=1))
    hidden = torch.tensor([[[True, False, True, False], [True, True, False, False]]])
    full = hidden[0].repeat(Q, 1).repeat_interleave(n, dim=1)  # (Q * T, F * n)
    p = (attention.project_query(x) @ key.mT / 2).masked_fill(full, -1e9).softmax(dim=2)
    _close(attention(x, key, value, hidden), attention.merge(p / p.sum(-1, keepdim=True) @ value))


def test_a_query_that_sees_nothing_reads_zero_and_keeps_gradients_finite() -> None:
    attention = SlotAttention(16, 4, 0.0)
    x = _rand(1, 4, 16).requires_grad_()  # Q = 2, T = 2
    key, value = attention.project_key_value(_rand(1, 3, 16))
    out = attention(x, key, value, torch.tensor([[[True], [False]]]))
    _close(out[0, 0], attention.out_proj.bias)
    out.sum().backward()
    assert x.grad.isfinite().all()


# ---- OCLR


@pytest.mark.parametrize("T", [1, 3])
def test_oclr_is_defined_for_half_precision_and_views(T: int) -> None:
    net = _oclr(num_queries=2, in_channels=2)
    flow = _rand(2, T, H, W, 2).permute(0, 1, 4, 2, 3)
    logits, order = net(flow.half())
    assert logits.shape == (2, T, 2, H, W) and order.shape == (2, T, 2)
    assert logits.dtype == torch.float32 and logits.isfinite().all() and order.isfinite().all()
    for sample in range(2):
        _close(net(flow[sample : sample + 1].half())[0][0], logits[sample])
    assert torch.equal(order, order[:, :1].expand_as(order))


@pytest.mark.parametrize("T", [1, 2])
def test_gradients_are_finite(T: int) -> None:
    flow = torch.zeros(1, T, 4, H, W)
    logits, order = _oclr().train()(flow)
    (logits.sum() + order.sum()).backward()
    selector = _selector().train()
    selector(
        torch.zeros(1, T, 2, H, W), flow[:, :, :3], torch.zeros(1, T, 2, 4, 12)
    ).square().sum().backward()
    corrector = _corrector().train()
    sum(part.square().sum() for part in _correct(corrector, T, 1)).backward()
    gradients = [p.grad for net in (selector, corrector) for p in net.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    without = {name for name, p in corrector.named_parameters() if p.grad is None}
    assert without == {"encoder.blocks.3.conv1.weight", "encoder.blocks.3.conv2.weight"}


# ---- selector


def test_selector_judges_each_object_by_itself() -> None:
    net = _selector()
    masks, rgb, tokens = (_rand(2, 3, 4, H, W) > 0), _rand(2, 3, 3, H, W), _rand(2, 3, 2, 4, 12)
    with torch.no_grad():
        maps = net(masks, rgb, tokens)
        _close(net(masks[:, :, 1:2], rgb, tokens)[:, :, 0], maps[:, :, 1])
        _close(net(masks[1:], rgb[1:], tokens[1:])[0], maps[1])
    _close(maps.sum(dim=3), torch.ones(2, 3, 4, H, W))


def test_selector_gives_the_same_in_parts_and_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    net = _selector()
    inputs = (_rand(1, 5, 2, H, W) > 0), _rand(1, 5, 3, H, W).half(), _rand(1, 5, 2, 4, 12).half()
    whole = net(*inputs).detach()
    monkeypatch.setitem(unet._BYTES_AT_ONCE, "cpu", 2 * 8 * H * W * 4)
    with torch.no_grad():
        _close(net(*inputs), whole)


def test_empty_masks_score_zero_next_to_others() -> None:
    masks = torch.zeros(1, 2, 1, H, W)
    masks[0, 0, 0, :8] = 1
    maps = torch.full((1, 2, 1, 3, H, W), 1 / 3)
    errors = predicted_error(maps, masks)
    area = 8 * W
    _close(errors[0, :, 0], torch.tensor([2 / 3 * H * W / (area + 1), 2 / 3 * H * W]))
    _close(scores(errors)[0, :, 0], torch.tensor([1.0, 0.0]))
    assert scores(predicted_error(maps, torch.zeros_like(masks))).sum() == 1


# ---- corrector


@pytest.mark.parametrize(("T", "E", "K"), [(1, 1, 1), (2, 1, 3), (7, 4, 2)])
def test_corrector_is_defined_for_any_window(T: int, E: int, K: int) -> None:
    features, alpha, logits = _correct(_corrector(num_objects=K), T, E, B=2)
    assert features.shape == (2, K + 4, T, 4, 8, 12)
    assert alpha.shape == features.shape[:-1] and logits.shape == (2, T, K, H, W)
    assert all(part.isfinite().all() for part in (features, alpha, logits))
    _close(alpha.sum(dim=1), torch.ones_like(alpha[:, 0]))


def test_clips_of_a_batch_do_not_mix() -> None:
    net = _corrector()
    net.eval()
    E, K, C = 2, 3, 12
    tokens, masks = _rand(2, E, K, 4, 8, C), (_rand(2, E, K, H, W) > 0)
    quality, frames = _rand(2, E, K).softmax(1), torch.tensor([[[0, 1]] * 3, [[1, 2]] * 3])
    window = (
        _rand(2, 3, 3, H, W),
        _rand(2, 3, 4, 8, C),
        (_rand(2, 3, K, H, W) > 0),
        torch.arange(3).expand(2, 3),
    )
    batch = net(*window, net.remember(tokens, masks, quality, frames))
    for b in range(2):
        s = slice(b, b + 1)
        memory = net.remember(tokens[s], masks[s], quality[s], frames[s])
        _close(net(*(x[s] for x in window), memory).logits, batch.logits[s])


def test_entries_without_an_exemplar_are_ignored() -> None:
    net = _corrector()
    tokens, masks = _rand(1, 3, 3, 4, 8, 12), (_rand(1, 3, 3, H, W) > 0)
    quality = _rand(1, 3, 3).softmax(1)
    frames = torch.tensor([[[0, 5, 6], [1, 5, 6], [2, 5, 6]]])
    window = _rand(1, 2, 3, H, W), _rand(1, 2, 4, 8, 12), (_rand(1, 2, 3, H, W) > 0), torch.tensor([[5, 7]])

    def logits(tokens: Tensor, masks: Tensor, quality: Tensor, frames: Tensor) -> Tensor:
        return net(*window, net.remember(tokens, masks, quality, frames)).logits

    fewer = logits(tokens[:, :2], masks[:, :2], quality[:, :2], frames[:, :, :2])
    padded = torch.cat([frames[:, :, :2], torch.full((1, 3, 1), -1)], dim=2)
    _close(logits(tokens, masks, quality, padded), fewer)
    assert not torch.allclose(logits(tokens, masks, quality, frames), fewer, atol=1e-3)


def test_networks_give_the_same_with_and_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(unet._BYTES_AT_ONCE, "cpu", 2 * 8 * H * W * 4)  # two frames at a time
    flow = _rand(1, 3, 4, H, W) * 0.1 + 20  # a steady pan: large means, small differences
    nets = _oclr(), _corrector()
    wanted = nets[0](flow), _correct(nets[1], 3, 2)
    with torch.no_grad():
        for before, now in zip(wanted, (nets[0](flow), _correct(nets[1], 3, 2)), strict=True):
            for a, b in zip(before, now, strict=True):
                torch.testing.assert_close(b, a.detach(), rtol=1e-3, atol=1e-3)


def test_hidden_masks_are_zero_masks() -> None:
    net = _corrector()
    memory = net.remember(
        _rand(1, 1, 3, 4, 8, 12), torch.ones(1, 1, 3, H, W), torch.ones(1, 1, 3), torch.zeros(1, 3, 1)
    )
    rgb, tokens, masks = _rand(1, 2, 3, H, W), _rand(1, 2, 4, 8, 12), torch.ones(1, 2, 3, H, W)
    frames = torch.tensor([[0, 1]])
    hidden = net(rgb, tokens, masks, frames, memory, use_masks=False)
    _close(hidden.logits, net(rgb, tokens, torch.zeros_like(masks), frames, memory).logits)


# ---- errors


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"flow: wanted \(B, T, channels=4, H, W\), got \(1, 2, 3, 32, 64\)"):
        _oclr()(torch.zeros(1, 2, 3, H, W))
    with pytest.raises(ValueError, match="multiples of 16"):
        _oclr()(torch.zeros(1, 2, 4, 24, W))
    with pytest.raises(ValueError, match="flow"):
        _oclr()(torch.zeros(1, 0, 4, H, W))
    with pytest.raises(ValueError, match=r"tokens: .*C=12"):
        _selector()(torch.zeros(1, 1, 1, H, W), torch.zeros(1, 1, 3, H, W), torch.zeros(1, 1, 2, 4, 384))
    with pytest.raises(ValueError, match=r"masks: .*K=3"):
        memory = _corrector().remember(
            torch.zeros(1, 1, 3, 4, 8, 12),
            torch.ones(1, 1, 3, H, W),
            torch.ones(1, 1, 3),
            torch.zeros(1, 3, 1),
        )
        masks = torch.zeros(1, 1, 2, H, W)
        _corrector()(
            torch.zeros(1, 1, 3, H, W), torch.zeros(1, 1, 4, 8, 12), masks, torch.zeros(1, 1), memory
        )
    with pytest.raises(ValueError, match="num_heads"):
        OCLR(features=4, width=30)


@pytest.mark.parametrize("reduction", [2, 4])
def test_a_reduced_oclr_works_on_averaged_flow_and_proposes_at_full_size(reduction: int) -> None:
    net = _oclr(reduction=reduction)
    flow = _rand(1, 3, 4, H, W)
    logits, order = net(flow)
    assert logits.shape == (1, 3, 3, H // reduction, W // reduction) and order.shape == (1, 3, 3)
    small = torch.nn.functional.avg_pool2d(flow[0], reduction)[None]
    assert torch.equal(net.of_reduced(small)[0], logits)
    masks = net.masks(flow)
    assert masks.shape == (1, 3, 3, H, W) and masks.dtype == torch.bool and masks.sum(2).max() <= 1


@pytest.mark.parametrize("way", ["context", "neighbours.0.conv", "neighbours.1.conv"])
def test_context_changes_nothing_at_first_and_each_of_its_paths_connects_frames(way: str) -> None:
    net, plain = _oclr(context=True), _oclr()
    added = ("context", "neighbours")
    plain.load_state_dict({name: v for name, v in net.state_dict().items() if not name.startswith(added)})
    flow = _rand(1, 3, 4, H, W)
    elsewhere = flow.clone()
    elsewhere[:, 1] = _rand(4, H, W, seed=1)
    assert torch.equal(net(flow)[0], plain(flow)[0])
    with torch.no_grad():
        net.attention_maps.weight.zero_()  # the paper's path between frames
        half = net.context.in_features // 2
        net.context.weight[:, :half] = _rand(half, half, seed=2)  # the decoder reads each frame's own tokens
    assert torch.equal(net(flow)[0][:, 0], net(elsewhere)[0][:, 0])
    torch.nn.init.normal_(net.get_parameter(f"{way}.weight"))
    assert not torch.allclose(net(flow)[0][:, 0], net(elsewhere)[0][:, 0], atol=1e-3)


def test_every_network_names_attention_parts_that_it_has() -> None:
    for net in (_oclr(), _selector(), _corrector(), DenseCorrector(features=4, width=16, num_heads=2)):
        names = [name for name, _ in net.named_parameters()]
        assert net.attention_parts
        for part in net.attention_parts:
            assert any(name.startswith(f"{part}.") for name in names), part


@pytest.mark.parametrize("width", [100, 200, 44])
def test_widths_that_compact_features_cannot_have_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"width: wanted multiples of 8 at all 3 levels, got {width}"):
        CompactFeatures(width=width)
    CompactFeatures(width=16)  # 24 at every level


def test_an_odd_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="reduction: wanted 1, 2 or 4, got 3"):
        _oclr(reduction=3)


def test_a_corrector_can_start_from_known_masks() -> None:
    """If the network outputs zero, the logits come from the proposal and the carried masks, or only from the latter."""
    net = _corrector(prior=True)
    nn.init.zeros_(net.decoder.out.weight), nn.init.zeros_(net.decoder.out.bias)
    T, E, K = 2, 3, 3
    tokens, exemplar_tokens = (
        _rand(1, T, H // 8, W // 8, 12, seed=6),
        _rand(1, E, K, H // 8, W // 8, 12, seed=1),
    )
    masks, exemplar_masks = _rand(1, T, K, H, W, seed=4) > 0, _rand(1, E, K, H, W, seed=2) > 0
    frames = torch.arange(4, 4 + E).expand(1, K, E)
    memory = net.remember(exemplar_tokens, exemplar_masks, torch.ones(1, E, K), frames)
    window = _rand(1, T, 3, H, W, seed=5), tokens, masks, torch.arange(T)[None], memory
    unseen = torch.zeros(1, T, K, E, dtype=torch.bool)
    carried = recall(
        tokens, recallable(exemplar_tokens.transpose(1, 2), exemplar_masks.transpose(1, 2)), unseen
    )
    carried = torch.nn.functional.interpolate(carried.flatten(0, 1), (H, W), mode="bilinear")[None]
    proposal, exemplars = TRUST
    _close(net(*window).logits, proposal * (2.0 * masks - 1) + exemplars * carried)
    _close(net(*window, use_masks=False).logits, exemplars * carried)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("prior", [False, True])
def test_correctors_work_in_16_bits(precision: torch.dtype, prior: bool) -> None:
    net = _corrector(prior=prior)
    frames = torch.tensor([[[0, 1], [0, -1], [0, -1]]])  # frame 0 sees none of object 1
    with torch.no_grad():
        whole = _correct(net, 3, 2, frames=frames)
        with torch.autocast("cpu", dtype=precision):
            half = _correct(net, 3, 2, frames=frames)
    for exact, near in zip(whole, half, strict=True):
        torch.testing.assert_close(near.float(), exact, rtol=0.1, atol=0.1)


# ---- recall


def test_masks_are_carried_to_where_the_same_tokens_are() -> None:
    tokens = torch.eye(8).view(1, 1, 2, 4, 8)  # every position is similar only to itself
    masks = torch.zeros(1, 1, 1, 2, 4)
    masks[..., 0, 1:3] = 1
    moved = tokens.roll(1, dims=3)
    seen = torch.zeros(1, 1, 1, 1, dtype=torch.bool)
    found = recall(moved, recallable(tokens[:, None], masks), seen)
    _close(found[0, 0, 0], 2 * masks[0, 0, 0].roll(1, dims=1) - 1)


def test_exemplars_hidden_from_a_frame_do_not_affect_it() -> None:
    tokens, masks = _rand(1, 2, 2, 2, 4, 8), torch.zeros(1, 2, 2, 16, 32)
    masks[:, 0, 1] = 1
    hidden = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    hidden[0, 0, 0, 1] = True  # frame 0 does not see the full mask of object 0
    hidden[0, 1, 1] = True  # frame 1 sees no exemplar of object 1
    found = recall(_rand(1, 2, 2, 4, 8, seed=1), recallable(tokens, masks), hidden)
    assert found.isfinite().all()
    _close(found[0, 0, 0], -torch.ones(2, 4))
    assert (found[0, 1, 0] > -1).any() and found[0, 1, 1].eq(0).all()
