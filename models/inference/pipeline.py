"""Propose, select, correct: the three networks on a clip of any length (sections 3.1 to 3.3; A.3).

Inputs are read piece by piece from anything that slices like a NumPy array. Results are yielded piece by piece, in
order and without gaps, so that a writer can append them. Memory therefore does not grow with the clip. A network runs
on the device of its weights, must be in evaluation mode, and gives the same result every time. `precision` =
torch.bfloat16 or float16 turns on autocast on a GPU, which changes results slightly.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from motion_adapt.models.inference.joining import join
from motion_adapt.models.inference.linking import NewObject, link
from motion_adapt.models.inference.planning import (
    PART_LENGTH,
    PART_LIMIT,
    chunks,
    exemplar_marks,
    exemplar_table,
    exemplars,
    exemplars_for_part,
    nearest_that_shows,
    parts,
    windows,
)
from motion_adapt.models.inference.proposal_judges import Judge, without_mask
from motion_adapt.models.inputs.imaging import hard_masks, normalise_rgb
from motion_adapt.models.inputs.readable import Readable
from motion_adapt.models.networks.checkpoints import Corrector
from motion_adapt.models.networks.corrector import ExemplarMemory
from motion_adapt.models.networks.dense_corrector import DenseMemory
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.selector import MaskSelector, predicted_error, scores


class Proposal(NamedTuple):
    """Masks proposed for the n frames from `start`.

    Attributes:
        start: first frame.
        masks: bool (n, K, H, W), disjoint.
        new_objects: objects of this chunk that continue no earlier object.
    """

    start: int
    masks: NDArray[np.bool_]
    new_objects: tuple[NewObject, ...]


class Selection(NamedTuple):
    """Judgement of the proposals of one part of a clip, n frames from `start`.

    Attributes:
        start: first frame.
        errors: f32 (n, K), the predicted error (equation 3), or 1 - quality from the other methods of
            models/inference/proposal_judges.py.
        scores: f32 (n, K), the softmax of -errors over the part.
        exemplars: bool (n, K), the frames from which each object is corrected.
        error_labels: u8 (n, K, H, W), the likeliest of 0 false positive, 1 correct, 2 false negative. None if the
            method predicts no error map.
    """

    start: int
    errors: NDArray[np.float32]
    scores: NDArray[np.float32]
    exemplars: NDArray[np.bool_]
    error_labels: NDArray[np.uint8] | None


class Corrected(NamedTuple):
    """Corrected masks of the n frames from `start`.

    Attributes:
        start: first frame.
        masks: bool (n, K, H, W), disjoint.
        probabilities: f16 (n, K, H, W).
        segments: u8 (n, H, W), the query with the largest share in each pixel's features: first the K objects, then
            the background queries.
    """

    start: int
    masks: NDArray[np.bool_]
    probabilities: NDArray[np.float16]
    segments: NDArray[np.uint8]


def propose(
    net: OCLR,
    flow: Readable,
    *,
    chunk: int = 30,
    overlap: int = 10,
    link_iou: float = 0.1,
    contrast: float = 0.0,
    precision: torch.dtype | None = None,
) -> Iterator[Proposal]:
    """Propose object masks from flow, one identity per object along the clip (equation 1).

    Args:
        net: the network.
        flow: float (T, 4, H, W) in pixels of this resolution.
        chunk: frames that OCLR sees at once.
        overlap: frames that neighbouring chunks share. There the later chunk's masks are used, and identities are
            linked (models/inference/linking.py). 0 reproduces the reference's grouping.
        link_iou: minimum IoU of a link.
        contrast: see `join`; 0 leaves OCLR's objects as they are.
        precision: see the module docstring.

    Raises:
        ValueError: the flow has values that are not finite.
    """
    ranges = chunks(flow.shape[0], chunk, overlap)
    device = _device(net)
    used = np.zeros(net.num_queries, np.bool_)
    tail: NDArray[np.bool_] | None = None  # masks by slot of the frames that the next chunk shares
    for (start, stop), (end, _) in zip(ranges, [*ranges[1:], (flow.shape[0], 0)], strict=True):
        seen = _finite("flow", flow[start:stop], start)
        with _autocast(device, precision):
            masks = _modal_masks(net, seen, device)
        masks = join(masks, seen, contrast)
        new: tuple[NewObject, ...] = ()
        present = np.any(masks, axis=(0, 2, 3))
        if tail is not None:
            links = link(tail, masks[: len(tail)], used=used, present=present, frame=start, floor=link_iou)
            masks, new = masks[:, links.channels], links.new
        used |= np.any(masks, axis=(0, 2, 3))
        yield Proposal(start, masks[: end - start], new)
        tail = masks[end - start :]


def select(
    judge: MaskSelector | Judge,
    frames: Readable,
    tokens: Readable,
    masks: Readable,
    *,
    t: int = 10,
    limit: int = PART_LIMIT,
    target: int = PART_LENGTH,
    allowed: NDArray[np.bool_] | None = None,
    given: NDArray[np.bool_] | None = None,
    precision: torch.dtype | None = None,
) -> Iterator[Selection]:
    """Judge proposals and choose up to t exemplars per object, part by part (equations 2-4).

    Args:
        judge: the selector, or a rule of models/inference/proposal_judges.py.
        frames: u8 RGB (T, H, W, 3).
        tokens: float (T, h, w, C). The selector needs h = H / 16.
        masks: bool (T, K, H, W).
        t: maximum number of exemplars per object.
        limit: a longer clip is judged in several parts, each with its own exemplars (models/inference/planning.py).
        target: approximate length of a part if there are several.
        allowed: bool (T,), False for frames that are exemplars of no object; None: all frames may be.
        given: bool (T,), frames whose masks are right. Their errors are 0, and they are exemplars of all objects that
            they show, in addition to the t others. None means that there are none.
        precision: see the module docstring.
    """
    T = _same_length(frames=frames, tokens=tokens, masks=masks)
    right = np.zeros(T, np.bool_) if given is None else given
    shown = np.zeros((T, masks.shape[1]), np.bool_)  # the objects in given masks
    for index in np.flatnonzero(right).tolist():
        shown[index] = np.any(masks[[index]], axis=(2, 3))[0]
    for start, stop in parts(T, limit, target):
        mask = np.asarray(masks[start:stop])
        if isinstance(judge, MaskSelector):
            device = _device(judge)
            with _autocast(device, precision):
                error, labels = _judge(judge, frames[start:stop], tokens[start:stop], mask, device)
        else:
            error, labels = judge(np.asarray(tokens[start:stop]), mask, start), None
        error = np.where(right[start:stop, None], np.float32(0), error)
        may = ~right[start:stop] if allowed is None else allowed[start:stop] & ~right[start:stop]
        present = np.any(mask, axis=(2, 3))
        marks = exemplar_marks(exemplars(error, present, t, allowed=may), stop - start)
        # Empty exemplars teach that an object is nowhere, but a given mask shows it.
        marks &= present | ~shown.any(axis=0)
        marks |= shown[start:stop]
        score = scores(torch.from_numpy(error)[None])[0].numpy()  # (n, K)
        yield Selection(start, error, score, marks, labels)


def correct(
    net: Corrector,
    frames: Readable,
    tokens: Readable,
    masks: Readable,
    scores: Readable,
    exemplars: Readable,
    *,
    window: int = 7,
    even: bool = False,
    borrow: bool = False,
    limit: int = PART_LIMIT,
    target: int = PART_LENGTH,
    given: NDArray[np.bool_] | None = None,
    precision: torch.dtype | None = None,
) -> Iterator[Corrected]:
    """Correct the masks of all frames, window by window, from the exemplars of their part (equations 5-8).

    A part without exemplars gets empty masks.

    Args:
        net: the network.
        frames: u8 RGB (T, H, W, 3).
        tokens: float (T, h, w, C), with h = H / 8.
        masks: bool (T, K, H, W).
        scores: float (T, K), from `select`.
        exemplars: bool (T, K), from `select`.
        window: target frames in a window, at most. If two windows overlap, the later one's result is used.
        even: whether windows that would overlap are shortened (models/inference/planning.py).
        borrow: whether a part without any mask takes the exemplars of the nearest part that has one.
        limit: the value that `select` was called with.
        target: the value that `select` was called with.
        given: bool (T,), frames whose masks are right: they are exemplars for all parts, and come out as they are. None
            means that there are none.
        precision: see the module docstring.
    """
    T = _same_length(frames=frames, tokens=tokens, masks=masks, scores=scores, exemplars=exemplars)
    device = _device(net)
    right = np.zeros(T, np.bool_) if given is None else given
    marks = np.asarray(exemplars[:])
    ranges = parts(T, limit, target)
    lenders = nearest_that_shows([not borrow or bool(np.any(masks[first:last])) for first, last in ranges])
    for (first, last), lender in zip(ranges, lenders, strict=True):
        table = exemplar_table(exemplars_for_part(marks, *ranges[lender], right))
        if table.shape[1] == 0:
            yield _nothing(first, (last - first, *masks.shape[1:]))
            continue
        with _autocast(device, precision):
            memory = _remember(net, table, tokens, masks, scores, device)
        targets = windows(last - first, window, even=even) + first
        ends = [*targets[1:, 0].tolist(), last]
        for places, end in zip(targets, ends, strict=True):
            span = slice(int(places[0]), int(places[-1]) + 1)
            inputs = frames[span], tokens[span], masks[span]
            with _autocast(device, precision):
                corrected = _correct_window(net, *inputs, places, memory, device, keep=end - span.start)
            yield with_given(corrected, inputs[2], right[span])


def with_given(corrected: Corrected, masks: np.ndarray, given: NDArray[np.bool_]) -> Corrected:
    """Put the masks of `given` frames, bool (n,), in the place of their computed masks."""
    for place in np.flatnonzero(given[: len(corrected.masks)]).tolist():
        corrected.masks[place], corrected.probabilities[place] = masks[place], masks[place]
    return corrected


@torch.inference_mode()
def _modal_masks(net: OCLR, flow: np.ndarray, device: torch.device) -> NDArray[np.bool_]:
    return net.masks(_tensor(flow, device))[0].cpu().numpy()


@torch.inference_mode()
def _judge(
    net: MaskSelector, frames: np.ndarray, tokens: np.ndarray, masks: np.ndarray, device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    mask = _tensor(masks, device)
    answer = net(mask, normalise_rgb(np.asarray(frames)).to(device)[None], _tensor(tokens, device)).float()
    if net.head == "score":
        return without_mask(1 - answer[0].cpu().numpy(), masks), None
    labels = answer[0].argmax(dim=2).to(torch.uint8)  # (n, K, H, W)
    return predicted_error(answer, mask)[0].cpu().numpy(), labels.cpu().numpy()


@torch.inference_mode()
def _remember(
    net: Corrector,
    table: NDArray[np.int64],
    tokens: Readable,
    masks: Readable,
    scores: Readable,
    device: torch.device,
) -> ExemplarMemory | DenseMemory:
    read = np.unique(table[table >= 0])
    rows = np.searchsorted(read, np.maximum(table, read[0])).T  # (E, K); entries without exemplar: any frame
    objects = np.arange(len(table))
    return net.remember(
        _tensor(np.asarray(tokens[read.tolist()])[rows], device),
        _tensor(np.asarray(masks[read.tolist()])[rows, objects], device),
        _tensor(np.asarray(scores[read.tolist()])[rows, objects], device),
        _tensor(table, device),
    )


@torch.inference_mode()
def _correct_window(
    net: Corrector,
    frames: np.ndarray,
    tokens: np.ndarray,
    masks: np.ndarray,
    places: NDArray[np.int64],
    memory: ExemplarMemory | DenseMemory,
    device: torch.device,
    *,
    keep: int,
) -> Corrected:
    rgb = normalise_rgb(np.asarray(frames)).to(device)[None]
    inputs = _tensor(tokens, device), _tensor(masks, device), _tensor(places, device)
    _, alpha, logits = net(rgb, *inputs, memory, with_features=False)
    probabilities = logits[0, :keep].float().sigmoid().cpu().numpy()
    shares = F.interpolate(
        alpha[0, :, :keep].float().transpose(0, 1), logits.shape[-2:], mode="bilinear"
    )  # (n, Q, H, W)
    return Corrected(
        int(places[0]),
        hard_masks(probabilities),
        probabilities.astype(np.float16),
        shares.max(dim=1).indices.to(torch.uint8).cpu().numpy(),
    )


def _nothing(start: int, shape: tuple[int, ...]) -> Corrected:
    """Corrected masks (n, K, H, W) without any object: everything is explained by the first background query."""
    count, objects, height, width = shape
    segments = np.full((count, height, width), objects, np.uint8)
    return Corrected(start, np.zeros(shape, np.bool_), np.zeros(shape, np.float16), segments)


def _device(net: nn.Module) -> torch.device:
    if net.training:
        raise ValueError(
            f"{type(net).__name__}: wanted a network in evaluation mode, got one in training mode"
        )
    return next(net.parameters()).device


def _autocast(device: torch.device, precision: torch.dtype | None) -> torch.autocast:
    if precision is not None and device.type == "cpu":
        raise ValueError(
            f"precision: wanted None on a CPU, which gives the reference's numbers, got {precision}"
        )
    return torch.autocast(device.type, dtype=precision, enabled=precision is not None)


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)[None]  # (1, ...)


def _finite(name: str, array: np.ndarray, start: int) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
    if len(bad):
        raise ValueError(f"{name}: wanted finite values, got others in frame {start + int(bad[0])}")
    return array


def _same_length(**arrays: Readable) -> int:
    lengths = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"wanted one length for all, got {lengths}")
    return next(iter(lengths.values()))
