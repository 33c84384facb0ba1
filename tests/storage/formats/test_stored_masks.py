"""Files that store masks in unusual ways: read exactly, or refused with what was found and what is wanted."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.formats.label_maps import ClipMasks
from tests.storage.formats.kinds_of_masks import BLACK, BLUE, RED, WHITE, coloured, levels, soft, truth

Save = Callable[[np.ndarray, Path], object]
IN_ORDER = np.array([0, 2, 1])  # object 2 is there first


def read(tmp_path: Path, save: Save, suffix: str = ".png", **options: Any) -> tuple[list[np.ndarray], str]:
    """The label maps of a clip, and what was told."""
    paths = [tmp_path / f"{index:05d}{suffix}" for index in range(3)]
    for index, path in enumerate(paths):
        save(truth(index), path)
    masks = ClipMasks(paths, **options)
    return [masks.read(path) for path in paths], "; ".join(text for _, text in masks.notes)


def png(
    path: Path, values: np.ndarray, depth: int, kind: int, extra: tuple[bytes, bytes] | None = None
) -> None:
    """Write a PNG that Pillow cannot write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 80, 48, depth, kind, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(*extra) if extra else b"")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def deep(*colours: tuple[int, ...]) -> Save:
    """RGB or RGBA of 16 bits per channel."""
    table = np.array(colours, ">u2")
    return lambda labels, path: png(path, table[labels], 16, 2 if table.shape[1] == 3 else 6)


def clear_value(colour: tuple[int, ...], make: Callable[[np.ndarray], Image.Image]) -> Save:
    """A picture in which one value is transparent."""
    key = struct.pack(f">{len(colour)}H", *colour)
    return lambda labels, path: png(
        path, np.array(make(labels)), 8, 2 if len(colour) == 3 else 0, (b"tRNS", key)
    )


def as_is(make: Callable[[np.ndarray], Image.Image], **options: Any) -> Save:
    return lambda labels, path: make(labels).save(path, **options)


TOP = 65535
WHAT_IS_STORED: dict[str, tuple[Save, str, np.ndarray, str]] = {
    "ids in RGB of 16 bits": (deep(BLACK, (1,) * 3, (2,) * 3), ".png", np.arange(3), ""),
    "values in RGB of 16 bits": (deep(BLACK, (256,) * 3, (300,) * 3), ".png", IN_ORDER, "has the values 300, 256"),
    "colours of 16 bits": (deep(BLACK, (TOP, 0, 0), (0, TOP, 0)), ".png", IN_ORDER, "(0, 255, 0), (255, 0, 0)"),
    "colours of 16 bits with opacity": (
        deep((TOP, TOP, TOP, 0), (TOP, 0, 0, TOP), (0, TOP, 0, TOP)),
        ".png",
        IN_ORDER,
        "(0, 255, 0), (255, 0, 0)",
    ),
    "ids in RGB of 16 bits, TIFF": (
        lambda labels, path: cv2.imwrite(str(path), np.stack([labels.astype(np.uint16)] * 3, axis=2)),
        ".tif",
        np.arange(3),
        "",
    ),
    "a transparent colour": (clear_value(WHITE, coloured(WHITE, RED, BLUE)), ".png", IN_ORDER, "has the colours"),
    "transparent white behind black": (clear_value((255,), levels(255, 0, 0)), ".png", np.array([0, 1, 1]), ""),
    "a transparent value without a pixel": (clear_value((7,), levels(0, 1, 2)), ".png", np.arange(3), ""),
    "WebP without loss": (as_is(coloured(BLACK, RED, BLUE), lossless=True), ".webp", IN_ORDER, "colours"),
    "TIFF in which 0 is white": (as_is(levels(0, 255, 255), tiffinfo={262: 0}), ".tif", np.array([0, 1, 1]), ""),
    "TIFF by JPEG": (
        as_is(coloured(BLACK, WHITE, WHITE), compression="jpeg"),
        ".tif",
        np.array([0, 1, 1]),
        "what exceeds half is the object",
    ),
    "an EXIF orientation": (
        as_is(levels(0, 1, 2), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"),
        ".png",
        np.arange(3),
        "is to be turned by its EXIF orientation, which is ignored",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WHAT_IS_STORED)
def test_values_are_read_exactly(tmp_path: Path, kind: str) -> None:
    save, suffix, wanted, told = WHAT_IS_STORED[kind]
    maps, notes = read(tmp_path, save, suffix)
    for index, labels in enumerate(maps):
        np.testing.assert_array_equal(labels, wanted[truth(index)])
    assert told in notes and bool(told) == bool(notes)


def two_bits(labels: np.ndarray, path: Path) -> None:
    png(path, np.packbits(np.unpackbits(labels[..., None], axis=2)[..., 6:].reshape(48, -1), axis=1), 2, 0)


def pgm(labels: np.ndarray, path: Path) -> None:
    path.write_bytes(b"P5 80 48 2\n" + labels.tobytes())


def several(labels: np.ndarray, path: Path) -> None:
    levels(0, 1, 2)(labels).save(path, save_all=True, append_images=[levels(0, 2, 1)(labels)])


REFUSED: dict[str, tuple[Save, str, str]] = {
    "colours that 8 bits can't tell apart": (
        deep(BLACK, (256, 0, 0), (300, 0, 0)),
        ".png",
        "16 bits per channel, .*; save it as indexed PNG or in 8 bits",
    ),
    "a grey of 2 bits": (two_bits, ".png", "grey levels in 2 or 4 bits .* label or a share of white; save it as"),
    "a maximum of its own": (pgm, ".pgm", "or with a maximum of its own"),
    "16 bits in which 0 is white": (
        as_is(levels(TOP, 0, 0, dtype=np.uint16), tiffinfo={262: 0}),
        ".tif",
        "16 bits in which 0 is white; save",
    ),
    "several pictures": (several, ".tif", "holds 2 pictures; store one mask per file"),
    "a TIFF to be turned": (as_is(levels(0, 1, 2), tiffinfo={274: 6}), ".tif", "orientation 6.; save it upright"),
    "JPEG of ids": (as_is(levels(0, 1, 4)), ".jpg", "go up to .* do not survive being stored with loss"),
    "JPEG of ids and white": (as_is(levels(0, 4, 255)), ".jpg", "areas of their own between black and white"),
    "JPEG of grey levels": (as_is(levels(0, 128, 255)), ".jpg", "areas of their own between black and white"),
    "JPEG under the name of PNG": (as_is(levels(0, 1, 2), format="JPEG"), ".png", "survive being stored with loss"),
    "JPEG2000 of ids": (as_is(levels(0, 1, 2)), ".jp2", "do not survive being stored with loss"),
    "WebP with loss": (as_is(coloured(BLACK, RED, BLUE)), ".webp", "with loss .WEBP., which changes colours"),
    "smooth edges in 20 levels": (as_is(soft(20, np.uint8)), ".png", r"up to \d+ of 255: neither labels \(1 to 20\)"),
    "smooth edges of two levels": (
        lambda labels, path: levels(0, 128, 255)(labels).resize((160, 96)).resize((80, 48)).save(path),
        ".png",
        "areas of their own between black and white: neither labels",
    ),
    "nothing below half": (as_is(levels(200, 254, 255)), ".png", "none of them the background's"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_whatever_cannot_be_read_exactly_is_refused(tmp_path: Path, kind: str) -> None:
    save, suffix, words = REFUSED[kind]
    with pytest.raises(PictureError, match=words):
        read(tmp_path, save, suffix)


@pytest.mark.parametrize(("suffix", "quality"), [(".jpg", 30), (".jpg", 95), (".webp", 80)])
def test_black_and_white_stored_with_loss_is_one_object(tmp_path: Path, suffix: str, quality: int) -> None:
    maps, told = read(tmp_path, as_is(coloured(BLACK, WHITE, WHITE), quality=quality), suffix)
    for index, labels in enumerate(maps):
        np.testing.assert_array_equal(labels, truth(index) > 0)
    assert told == "has grey levels between background and object; what exceeds half is the object"


def test_soft_opacity_is_cut_with_a_warning(tmp_path: Path) -> None:
    def matte(labels: np.ndarray, path: Path) -> None:
        image = coloured(WHITE, WHITE, WHITE)(labels)
        image.putalpha(soft(255, np.uint8)(labels))
        image.save(path)

    maps, told = read(tmp_path, matte)
    assert set(np.unique(maps[0])) == {0, 1}
    assert told.startswith("has half-transparent pixels; those that are at least half opaque")


def test_a_cut_out_is_a_mask_even_if_a_frame_is_all_object(tmp_path: Path) -> None:
    full = truth(1)

    def cut_out(labels: np.ndarray, path: Path) -> None:
        image = coloured(BLACK, BLACK, BLACK)(labels).convert("RGBA")
        image.putalpha(levels(255 if (labels == full).all() else 0, 255, 255)(labels))
        image.save(path)

    maps, told = read(tmp_path, cut_out)
    np.testing.assert_array_equal(maps[0], truth(0) > 0)
    assert maps[1].all() and not told


def test_black_beside_transparent_pixels_is_told(tmp_path: Path) -> None:
    def painted(labels: np.ndarray, path: Path) -> None:
        Image.fromarray(np.array([(*WHITE, 0), (*BLACK, 255), (*RED, 255)], np.uint8)[labels]).save(path)

    _, told = read(tmp_path, painted)
    assert "has both black and transparent pixels; both are background" in told


def test_doubtful_readings_are_told(tmp_path: Path) -> None:
    for save, words in (
        (as_is(levels(255, 0, 0)), "has an object on most of the clip's borders; if that is the background, set mask_"),
        (as_is(levels(1, 2, 2)), "has no pixel of value 0, nor has any mask of the clip: nothing is background"),
    ):  # fmt: skip
        assert words in read(tmp_path, save)[1]


def test_thin_labels_of_a_grey_picture_are_told(tmp_path: Path) -> None:
    def outlined(labels: np.ndarray, path: Path) -> None:
        edge = (cv2.dilate(labels, np.ones((3, 3))) > 0) & (labels == 0)
        Image.fromarray(np.where(edge, 1, 2 * (labels > 0)).astype(np.uint8)).save(path)

    assert "has the labels 1 in lines and specks alone" in read(tmp_path, outlined)[1]
