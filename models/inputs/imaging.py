"""Convert frames, flow and masks between their native size and the working resolution (paper, A.3).

All three networks work at 128 x 224. "Bilinear" means half-pixel centres, no aligned corners and no antialiasing.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HEIGHT, WIDTH = 128, 224
RGB_MEAN = (0.485, 0.456, 0.406)
RGB_STD = (0.228, 0.224, 0.225)  # the reference's: 0.228, not ImageNet's 0.229


def resize_frames(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize RGB frames bilinearly on their 8-bit values.

    frames: u8 (T, H', W', 3). Returns u8 (T, height, width, 3).
    """
    _check_frames(frames)
    return _resize_each(frames, height, width)


def normalise_rgb(
    frames: NDArray[np.uint8] | Tensor,
    *,
    mean: tuple[float, float, float] = RGB_MEAN,
    std: tuple[float, float, float] = RGB_STD,
) -> Tensor:
    """Scale frames to [0, 1], subtract `mean` and divide by `std`, channel by channel.

    The memory layout of the result is fixed, since convolutions round differently on other layouts and trainings must
    stay reproducible.

    Args:
        frames: u8 (T, H, W, 3).
        mean: mean of each channel.
        std: standard deviation of each channel.

    Returns:
        f32 (T, 3, H, W): contiguous and on the CPU for an array; channels last and on the same device for a tensor.
    """
    _check_frames(frames)
    given = frames if isinstance(frames, Tensor) else torch.from_numpy(np.ascontiguousarray(frames))
    mean_, std_ = (torch.tensor(values, device=given.device).view(3, 1, 1) for values in (mean, std))
    rgb = (given.movedim(-1, 1).float() / 255 - mean_) / std_
    return rgb if isinstance(frames, Tensor) else rgb.contiguous()


def resize_flow(flow: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize flow bilinearly and rescale its vectors, so that they count pixels of the new size.

    flow: f32 (T, H', W', 2), u then v. Returns f32 (T, height, width, 2).
    """
    if flow.ndim != 4 or flow.shape[-1] != 2:
        raise ValueError(f"flow: wanted (T, H, W, 2), got {flow.shape}")
    scale = np.array([width / flow.shape[2], height / flow.shape[1]], np.float32)
    return _resize_each(flow.astype(np.float32, copy=False), height, width) * scale


def resize_masks(masks: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Resize masks bilinearly as maps of 0 and 1 and keep what exceeds 0.5. Disjoint masks stay disjoint.

    masks: bool (..., H', W'). Returns bool (..., height, width).
    """
    if masks.ndim < 2 or masks.dtype != np.bool_:
        raise ValueError(f"masks: wanted bool (..., H, W), got {masks.dtype} {masks.shape}")
    lead = masks.shape[:-2]
    flat = masks.reshape(-1, *masks.shape[-2:])  # (N, H', W')
    resized = np.empty((len(flat), height, width), np.bool_)
    for index, mask in enumerate(flat):
        resized[index] = _resize(mask.astype(np.float32), height, width) > 0.5
    return resized.reshape(*lead, height, width)  # (..., H, W)


def hard_masks(probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Give every pixel to its most probable object, if that probability exceeds 0.5.

    probabilities: float (T, K, H, W) in [0, 1]. Returns bool (T, K, H, W), disjoint. Ties go to the smaller k.
    """
    _check_rank("probabilities", probabilities, 4)
    best = probabilities.argmax(axis=1)  # (T, H, W)
    objects = np.arange(probabilities.shape[1]).reshape(1, -1, 1, 1)
    return (best[:, None] == objects) & (probabilities > 0.5)


def labels_from_masks(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Convert masks to labels: k + 1 for object k, 0 for the background. If masks overlap, the smaller k wins.

    masks: bool (T, K, H, W), K at most 255. Returns u8 (T, H, W).
    """
    _check_objects("masks", masks)
    labels = np.zeros((masks.shape[0], *masks.shape[2:]), np.uint8)
    for k in reversed(range(masks.shape[1])):
        labels[masks[:, k]] = k + 1
    return labels


def masks_from_labels(labels: NDArray[np.uint8], num_objects: int) -> NDArray[np.bool_]:
    """Convert labels to one mask per object. Labels above `num_objects` are dropped.

    labels: u8 (T, H, W). Returns bool (T, K, H, W) with K = num_objects.
    """
    _check_rank("labels", labels, 3)
    return labels[:, None] == np.arange(1, num_objects + 1).reshape(1, -1, 1, 1)


def native_labels(objects: NDArray[np.floating | np.bool_], height: int, width: int) -> NDArray[np.uint8]:
    """Resize each object's probabilities, and give every pixel to the most probable object above 0.5.

    Probabilities are resized bicubically: they place borders between the pixels of the working resolution, which masks
    can't. Masks are resized bilinearly, as in the reference code. Ties go to the smaller k.

    objects: float in [0, 1] or bool (T, K, H, W), K at most 255. Returns u8 (T, height, width): k + 1 for object k, 0
    for the background.
    """
    _check_objects("objects", objects)
    labels = np.zeros((len(objects), height, width), np.uint8)
    how = cv2.INTER_LINEAR if objects.dtype == np.bool_ else cv2.INTER_CUBIC
    for frame, label in zip(objects, labels, strict=True):
        highest = np.full((height, width), 0.5, np.float32)
        for k, channel in enumerate(frame):
            if channel.max(initial=0) > 0.5:  # as for masks of the working resolution
                resized = _resize(channel.astype(np.float32), height, width, how)
                label[resized > highest] = k + 1
                highest = np.maximum(highest, resized)
    return labels


def _resize_each(images: np.ndarray, height: int, width: int) -> np.ndarray:
    if images.shape[1:3] == (height, width):
        return images.copy()
    resized = np.empty((len(images), height, width, images.shape[3]), images.dtype)
    for index, image in enumerate(images):
        resized[index] = _resize(image, height, width)
    return resized


def _resize(image: np.ndarray, height: int, width: int, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how)


def _check_frames(frames: np.ndarray | Tensor) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype not in (np.uint8, torch.uint8):
        raise ValueError(f"frames: wanted u8 (T, H, W, 3), got {frames.dtype} {frames.shape}")


def _check_objects(name: str, array: np.ndarray) -> None:
    _check_rank(name, array, 4)
    if array.shape[1] > 255:
        raise ValueError(f"{name}: wanted at most 255 objects for 8-bit labels, got {array.shape[1]}")


def _check_rank(name: str, array: np.ndarray, rank: int) -> None:
    if array.ndim != rank:
        raise ValueError(f"{name}: wanted {rank} axes, got shape {array.shape}")
