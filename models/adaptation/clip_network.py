"""Train a clip network on the masks of its clip, and segment the clip with it."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from motion_adapt.models.inputs.imaging import RGB_MEAN, RGB_STD, normalise_rgb
from motion_adapt.models.inputs.own_speed import UNIT
from motion_adapt.models.inputs.readable import Readable, spread
from motion_adapt.models.networks.checkpoints import (
    Checkpoint,
    build_network,
    weights_of,
)
from motion_adapt.models.networks.clip_network import ClipNetwork, object_probabilities
from motion_adapt.models.networks.lineage import TrainedOn
from motion_adapt.models.training.batches import Batch, Batches
from motion_adapt.models.training.course import Course, Schedule
from motion_adapt.models.training.loop import autocast, train
from motion_adapt.models.training.losses import soft_dice

RATE = 1.5e-3
GRADIENT_NORM = 1.0
MOST_FRAMES = 300  # of a clip that are learnt from
COMPARED = 24  # frames in which a network's masks are compared with those that it learnt
GIVEN_SHARE = 0.75  # of the steps on masks by hand, if there are any
HIDDEN = 0.2  # of the frames that are learnt from, the speed is taken for zero: objects also rest
FASTER = (0.7, 1.4)  # factor on the speed
ZOOM, SHIFT = (0.7, 1.3), 0.1  # about the frame's middle; of its height and width
GAIN, OFFSET = (0.8, 1.2), 0.1  # of each colour, in [0, 1]


class ClipFrames:
    """Batches of a clip network: frames of the clip, augmented at random, and their masks.

    Up to `MOST_FRAMES` frames, spread over the clip, and all with masks by hand are read and kept in memory.

    Args:
        frames: u8 (T, H, W, 3), or (T, H, W, 4) with the pixels' own speed, see `models.inputs.own_speed.WithSpeed`.
        probabilities: float (T, K, H, W) in [0, 1], the masks to learn.
        batch: frames of a step.
        given: indices of the frames with masks by hand. A step learns them with the probability `GIVEN_SHARE`.
    """

    def __init__(
        self, frames: Readable, probabilities: Readable, batch: int, given: Sequence[int] = ()
    ) -> None:
        used = np.union1d(spread(frames.shape[0], MOST_FRAMES), np.asarray(given, int)).tolist()
        self.frames, self.targets = np.asarray(frames[used]), np.asarray(probabilities[used], np.float16)
        self.given = [used.index(index) for index in given]
        self.batch = min(batch, len(used))

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """Return `seen` f32 (N, 3 or 4, H, W), see `changed_frame`, and `target` f32 (N, K + 1, H, W), summing to 1."""
        chosen = rng.choice(len(self.frames), self.batch, replace=False)
        if self.given:
            by_hand = rng.random(self.batch) < GIVEN_SHARE
            chosen = np.where(by_hand, rng.choice(self.given, self.batch), chosen)
        return batch_of(((self.frames[i], self.targets[i]) for i in chosen), rng)


def batch_of(
    frames: Iterable[tuple[NDArray[np.uint8], NDArray[np.float16]]], rng: np.random.Generator
) -> Batch:
    """Augment frames u8 (H, W, 3 or 4) with their probabilities f16 (K, H, W), and stack them to a batch."""
    changed = [changed_frame(frame, target.astype(np.float32), rng) for frame, target in frames]
    return {
        "seen": np.stack([seen for seen, _ in changed]),
        "target": with_background(np.stack([target for _, target in changed])),
    }


def changed_frame(
    frame: NDArray[np.uint8], target: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Zoom, shift and perhaps mirror a frame and its target, and change the frame's colours and speed.

    Args:
        frame: u8 (H, W, 3), or (H, W, 4) with its pixels' own speed.
        target: probabilities of the objects, f32 (K, H, W).
        rng: draws the changes.

    Returns:
        The frame as the network sees it, f32 (3 or 4, H, W), and its target, f32 (K, H, W).
    """
    _, height, width = target.shape
    zoom, mirror = rng.uniform(*ZOOM), rng.choice([-1.0, 1.0])
    shift = rng.uniform(-SHIFT, SHIFT, 2) * (width, height)
    middle = np.array([width - 1, height - 1]) / 2
    turn = np.diag([zoom * mirror, zoom])
    where = np.column_stack([turn, middle + shift - turn @ middle])

    def moved(image: np.ndarray) -> np.ndarray:
        return cv2.warpAffine(
            image, where, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )

    seen = moved(frame).astype(np.float32)
    colours = seen[..., :3] / 255 * rng.uniform(*GAIN, 3) + rng.uniform(-OFFSET, OFFSET, 3)
    seen[..., :3] = (colours - RGB_MEAN) / RGB_STD
    if seen.shape[2] > len(RGB_MEAN):
        seen[..., 3] *= (rng.random() >= HIDDEN) * rng.uniform(*FASTER) / UNIT
    return seen.transpose(2, 0, 1), np.stack([moved(channel) for channel in target])


def as_seen(frames: NDArray[np.uint8]) -> Tensor:
    """Return frames u8 (N, H, W, 3 or 4) as a clip network sees them, f32 (N, 3 or 4, H, W)."""
    colours = normalise_rgb(frames[..., :3])
    speed = torch.from_numpy(frames[..., 3:].transpose(0, 3, 1, 2) / np.float32(UNIT))
    return torch.cat([colours, speed], dim=1)


def with_background(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn independent probabilities (N, K, H, W) into shares of objects and background (N, K + 1, H, W).

    The foreground is as likely as the likeliest object, as it is in the masks: channels that are each a little in doubt
    are no object together.
    """
    foreground = probabilities.max(axis=1, keepdims=True)
    total = np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-6)
    return np.concatenate([probabilities * (foreground / total), 1 - foreground], axis=1)


def clip_network_loss(module: nn.Module, batch: Batch, precision: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Add cross entropy with the soft targets and soft Dice of the foreground, which keeps small objects in view."""
    target = batch["target"]
    with autocast(target.device, precision):
        logits = module(batch["seen"])
    logits = logits.float()
    entropy = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
    dice = soft_dice(1 - logits.softmax(dim=1)[:, -1], 1 - target[:, -1])
    return entropy + dice, {"entropy": entropy, "dice": dice}


def fit_clip_network(
    frames: Readable,
    probabilities: Readable,
    course: Course,
    *,
    batch: int = 1,
    start: Checkpoint | None = None,
    given: Sequence[int] = (),
    recipe: dict[str, Any] | None = None,
) -> Checkpoint:
    """Train a clip network on a clip's masks. It sees motion if the frames have their pixels' own speed.

    Args:
        frames: see `ClipFrames`.
        probabilities: float (T, K, H, W) in [0, 1].
        course: its rate is the peak of a rise and a fall; None means `RATE`.
        batch: frames per step.
        start: a shared network (models/adaptation/shared_network.py) to start from. None means random weights, which
            take a few times as many steps.
        given: indices of the frames with masks by hand, which are learnt from more often; see `ClipFrames`.
        recipe: further entries of the checkpoint's recipe.
    """
    about = {"on": TrainedOn.MASKS_OF_ONE_CLIP.value, "batch": batch, **(recipe or {})}
    batches, motion = ClipFrames(frames, probabilities, batch, given), has_speed(frames)
    return fit(batches, probabilities.shape[1], course, start, about, motion=motion)


def has_speed(frames: Readable) -> bool:
    """Return whether frames (..., 3 or 4) have their pixels' own speed."""
    return frames.shape[-1] > len(RGB_MEAN)


def fit(
    batches: Batches,
    objects: int,
    course: Course,
    start: Checkpoint | None,
    about: dict[str, Any],
    *,
    motion: bool,
) -> Checkpoint:
    """Train a network for `objects` objects on batches like those of `ClipFrames`; `about` goes into the recipe."""
    course = course.at_rate(RATE)
    assert course.rate is not None
    recipe = {**course.told(), **about, **({"start": start.settings["training"]} if start else {})}
    module = started(start, objects, motion) if start else _random_network(objects, motion, course.seed)
    train(
        module,
        batches,
        lambda net, given: clip_network_loss(net, given, course.precision),
        course,
        schedule=Schedule(
            course.rate, warmup=max(1, course.steps // 5), cool_down=(course.steps // 4, course.steps)
        ),
        recipe=recipe,
        gradient_norm=GRADIENT_NORM,
    )
    settings = {"network": module.arguments, "features": None, "training": recipe}
    return Checkpoint("clip-network", settings, weights_of(module))


def started(start: Checkpoint, objects: int, motion: bool) -> ClipNetwork:
    """Build a network for `objects` objects that divides what `start` takes for foreground evenly among them.

    If `start` sees no motion and the new network does, its weights for the speed begin at zero.

    Raises:
        ValueError: `start` is no network of one object.
    """
    shared = build_network(start, expect="clip-network")
    if shared.objects != 1:
        raise ValueError(f"start: wanted a network of one object, got one of {shared.objects}")
    net = ClipNetwork(**{**shared.arguments, "objects": objects, "motion": motion})
    pixels = shared.patch**2
    tensors = weights_of(shared)
    first = tensors["down.0.0.weight"]  # (out, in, 3, 3), the speed last
    wanted = net.get_parameter("down.0.0.weight").shape[1]
    added = first.new_zeros(len(first), max(wanted - first.shape[1], 0), 3, 3)
    tensors["down.0.0.weight"] = torch.cat([first[:, :wanted], added], dim=1)
    weight, bias = tensors["out.weight"], tensors["out.bias"]  # those of the object, then of the background
    tensors["out.weight"] = torch.cat([weight[:pixels]] * objects + [weight[pixels:]])
    tensors["out.bias"] = torch.cat([bias[:pixels] - math.log(objects)] * objects + [bias[pixels:]])
    net.load_state_dict(tensors)
    return net


def _random_network(objects: int, motion: bool, seed: int) -> ClipNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ClipNetwork(objects, motion=motion)


class Segmented:
    """Probabilities that a clip network gives to the frames of its clip, computed when they are read.

    A network's masks are too wide by a few of its pixels, which cover less of an object that it sees enlarged. So
    frames are seen at several sizes in turn, and smoothing along the flow brings together what they show.

    Args:
        net: the clip network.
        frames: see `ClipFrames`.
        sizes: frame t is seen at size t modulo their number, times H x W, rounded up to a size that the network can
            take; at every second size, its mirror image is seen.

    shape: (T, K, H, W).
    """

    def __init__(self, net: ClipNetwork, frames: Readable, sizes: Sequence[float]) -> None:
        # On a CPU, frame by frame in channels_last takes two thirds of the time that several frames at once in the
        # other layout take.
        self.net, self.frames, self.sizes = net.to(memory_format=torch.channels_last), frames, sizes
        count, height, width, _ = frames.shape
        self.shape = (count, net.objects, height, width)

    @torch.inference_mode()
    def __getitem__(self, key: slice | list[int]) -> NDArray[np.float32]:
        device = next(self.net.parameters()).device
        frames = as_seen(np.asarray(self.frames[key])).to(device)
        turns = torch.arange(self.shape[0])[key] % len(self.sizes)
        found = torch.empty((len(frames), *self.shape[1:]))
        for turn in turns.unique().tolist():
            seen = torch.nonzero(turns == turn)[:, 0]
            for part in seen.split(1 if device.type == "cpu" else len(seen)):
                at_size = self._at(self.sizes[turn], frames[part.to(device)], mirrored=bool(turn % 2))
                found[part] = at_size.cpu()
        return found.numpy()

    def _at(self, size: float, frames: Tensor, *, mirrored: bool) -> Tensor:
        own, step = self.shape[2:], self.net.stride
        taken = [math.ceil(size * side / step) * step for side in own]
        seen = F.interpolate(frames, taken, mode="bilinear", antialias=True)
        turned = seen.flip(-1) if mirrored else seen
        found = object_probabilities(self.net(turned.contiguous(memory_format=torch.channels_last)))
        return F.interpolate(found.flip(-1) if mirrored else found, own, mode="bilinear", antialias=True)


class Mean:
    """The mean of two clips of one shape, computed when it is read."""

    def __init__(self, first: Readable, second: Readable) -> None:
        self.first, self.second, self.shape = first, second, first.shape

    def __getitem__(self, key: slice) -> NDArray[np.float32]:
        both = np.stack([np.asarray(clip[key], np.float32) for clip in (self.first, self.second)])
        mean: NDArray[np.float32] = both.mean(axis=0)
        return mean


class Replaced:
    """A clip with some frames of another one of the same shape."""

    def __init__(self, clip: Readable, other: Readable, at: Sequence[int]) -> None:
        self.clip, self.other, self.at, self.shape = clip, other, frozenset(at), clip.shape

    def __getitem__(self, key: slice) -> NDArray[np.float32]:
        found = np.array(self.clip[key], np.float32)
        for place, index in enumerate(range(*key.indices(self.shape[0]))):
            if index in self.at:
                found[place] = self.other[index : index + 1][0]
        return found


def foreground_iou(first: Readable, second: Readable) -> float:
    """Return the IoU of two clips' foregrounds over the pixels of up to `COMPARED` frames; 1 if both are empty.

    Both float (T, K, H, W): a pixel is foreground if any of its probabilities exceeds 0.5.
    """
    shared, union, looked_at = 0, 0, spread(first.shape[0], COMPARED)
    for start in range(0, len(looked_at), 8):
        one, other = ((clip[looked_at[start : start + 8]] > 0.5).any(axis=1) for clip in (first, second))
        shared, union = shared + int((one & other).sum()), union + int((one | other).sum())
    return shared / union if union else 1.0
