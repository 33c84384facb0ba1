"""The stage strip: one picture that shows what each stage computed for a few frames of a clip.

Columns are frames; rows are stages in the order in which they run. A row without any panel is left out.
All panels have one size, and all flow panels one scale of speed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from motion_adapt.storage.atomic import whole_file
from motion_adapt.storage.formats.label_rules import davis_palette
from motion_adapt.storage.results.overlays import flow_colours, overlay

_PAPER, _INK, _FAINT = (250, 250, 248), (34, 34, 38), (128, 128, 134)
_GOLD, _FALSE, _MISSED = (240, 176, 0), (232, 48, 62), (20, 126, 240)
_COMPRESSION = 2  # a third of the time of Pillow's 6, and files 7 % larger
_MARGIN, _GAP, _LABELS, _HEADER = 16, 6, 124, 32  # pixels


@dataclass(frozen=True)
class StageColumn:
    """The stages' results for one frame, None if a run did not compute them. Sizes may differ from the frame's."""

    frame_name: str
    frame: np.ndarray  # u8 (H, W, 3) RGB
    flow: np.ndarray | None = None  # f32 (h, w, 2)
    proposal: np.ndarray | None = None  # u8 (h, w), labels 1, 2..., like all masks below
    errors: np.ndarray | None = None  # u8 (K, h, w): 0 false positive, 1 correct, 2 false negative
    exemplar_of: tuple[int, ...] | None = None  # labels of the objects for which this frame is an exemplar
    corrected: np.ndarray | None = None
    regions: np.ndarray | None = (
        None  # u8 (h, w): the query that explains each pixel; object queries first, then background
    )
    objects: int = 3  # number of object queries
    smoothed: np.ndarray | None = None
    by_network: np.ndarray | None = None
    before_sam: np.ndarray | None = None
    given: np.ndarray | None = None  # ready-made masks before they were refined
    final: np.ndarray | None = None


def stage_strip(columns: Sequence[StageColumn], *, panel_width: int = 300) -> np.ndarray:
    """Draw the strip, u8 (H, W, 3) RGB, with one column per frame and one row per stage.

    Raises:
        ValueError: if there are no columns.
    """
    if not columns:
        raise ValueError("a stage strip needs at least one column")
    height, width = columns[0].frame.shape[:2]
    size = (panel_width, max(1, round(panel_width * height / width)))
    rows = [row for row in _rows(columns, size) if any(panel is not None for panel in row.panels)]

    across = _LABELS + len(columns) * (size[0] + _GAP) - _GAP + 2 * _MARGIN
    down = _HEADER + len(rows) * (size[1] + _GAP) - _GAP + _MARGIN
    sheet = Image.new("RGB", (across, down), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, column in enumerate(columns):
        left = _MARGIN + _LABELS + index * (size[0] + _GAP)
        draw.text((left, 10), column.frame_name, _FAINT, _font(13))
    for number, row in enumerate(rows):
        top = _HEADER + number * (size[1] + _GAP)
        draw.text((_MARGIN, top), row.name, _INK, _font(16))
        row.legend(sheet, _MARGIN, top + 26)
        for index, panel in enumerate(row.panels):
            left = _MARGIN + _LABELS + index * (size[0] + _GAP)
            if panel is None:
                draw.rectangle((left, top, left + size[0] - 1, top + size[1] - 1), (238, 238, 236))
            else:
                sheet.paste(Image.fromarray(panel), (left, top))
    return np.array(sheet)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write u8 (H, W, 3) RGB as PNG, whole or not at all."""
    with whole_file(path) as partial:
        Image.fromarray(pixels).save(partial, compress_level=_COMPRESSION)


@dataclass(frozen=True)
class _Row:
    name: str
    panels: list[np.ndarray | None]  # u8 (h, w, 3), one per column
    legend: Callable[[Image.Image, int, int], None]


def _rows(columns: Sequence[StageColumn], size: tuple[int, int]) -> list[_Row]:
    frames = [cv2.resize(column.frame, size, interpolation=cv2.INTER_AREA) for column in columns]
    drawn = list(zip(columns, frames, strict=True))
    speeds = [np.hypot(*np.moveaxis(column.flow, 2, 0)) for column in columns if column.flow is not None]
    largest = max([1.0, *(float(np.percentile(speed, 99)) for speed in speeds)])

    refined = any(column.before_sam is not None for column in columns)

    def masks(stage: str, name: str, note: str) -> _Row:
        maps = [(frame, getattr(column, stage)) for column, frame in drawn]
        return _Row(
            name, [None if labels is None else overlay(frame, labels) for frame, labels in maps], _note(note)
        )

    return [
        _Row("frame", list(frames), _note("")),
        _Row("flow", [_flow_panel(column, size, largest) for column in columns], _wheel(largest)),
        masks("proposal", "proposal", "from flow alone"),
        _Row("error map", [_error_panel(column, frame) for column, frame in drawn], _error_legend),
        _Row(
            "exemplars", [_exemplar_panel(column, frame) for column, frame in drawn], _note("trusted frames")
        ),
        masks("corrected", "corrected", "from exemplars"),
        _Row(
            "alpha regions",
            [_region_panel(column, frame) for column, frame in drawn],
            _note("query by query"),
        ),
        masks("smoothed", "smoothed", "along the flow"),
        masks("by_network", "clip network", "this clip's own"),
        masks("given", "given", "as they came"),
        masks("before_sam", "before SAM", "its prompts"),
        masks("final", "final", "by SAM" if refined else ""),
    ]


def _flow_panel(column: StageColumn, size: tuple[int, int], largest: float) -> np.ndarray | None:
    if column.flow is None:
        return None
    return flow_colours(cv2.resize(column.flow, size, interpolation=cv2.INTER_LINEAR), largest=largest)


def _error_panel(column: StageColumn, frame: np.ndarray) -> np.ndarray | None:
    """Draw predicted false positives (red) and false negatives (blue) of all objects on a pale grey frame."""
    if column.errors is None:
        return None
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None]
    panel = np.repeat((110 + 0.5 * grey).astype(np.uint8), 3, axis=2)  # (h, w, 3)
    size = (frame.shape[1], frame.shape[0])
    for kind, colour in ((2, _MISSED), (0, _FALSE)):
        where = (column.errors == kind).any(axis=0).astype(np.uint8)
        where = cv2.resize(where, size, interpolation=cv2.INTER_NEAREST) > 0
        panel[where] = (0.2 * panel[where] + 0.8 * np.array(colour)).astype(np.uint8)
    return panel


def _exemplar_panel(column: StageColumn, frame: np.ndarray) -> np.ndarray | None:
    """Draw an exemplar with a gold border, its trusted masks and their numbers; fade any other frame."""
    if column.exemplar_of is None:
        return None
    if not column.exemplar_of:
        return (0.25 * frame + 0.75 * np.array(_PAPER)).astype(np.uint8)
    if column.proposal is not None:
        frame = overlay(frame, np.where(np.isin(column.proposal, column.exemplar_of), column.proposal, 0))
    image = Image.fromarray(frame)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, image.width - 1, image.height - 1), outline=_GOLD, width=4)
    for place, label in enumerate(column.exemplar_of):
        centre = (22 + 26 * place, 22)
        draw.circle(centre, 11, tuple(davis_palette()[label].tolist()), outline="white", width=2)
        draw.text(centre, str(label), "white", _font(14), anchor="mm")
    return np.array(image)


def _region_panel(column: StageColumn, frame: np.ndarray) -> np.ndarray | None:
    """Draw where each query explains the features (eq. 6): objects in their colours, background queries in greys."""
    if column.regions is None:
        return None
    greys = np.linspace(70, 220, max(int(column.regions.max(initial=0)) + 1 - column.objects, 4))
    colours = np.concatenate([davis_palette()[1 : column.objects + 1], np.repeat(greys[:, None], 3, axis=1)])
    regions = cv2.resize(column.regions, (frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_NEAREST)
    return (0.25 * frame + 0.75 * colours[regions]).astype(np.uint8)


def _note(text: str) -> Callable[[Image.Image, int, int], None]:
    return lambda sheet, left, top: ImageDraw.Draw(sheet).text((left, top), text, _FAINT, _font(13))


def _wheel(largest: float) -> Callable[[Image.Image, int, int], None]:
    """Draw the colour wheel, with the speed at its rim."""

    def legend(sheet: Image.Image, left: int, top: int) -> None:
        across = np.linspace(-1, 1, 56, dtype=np.float32)
        disk = np.stack(np.meshgrid(across, across), axis=-1)  # (56, 56, 2)
        inside = Image.fromarray((np.hypot(disk[..., 0], disk[..., 1]) <= 1).astype(np.uint8) * 255)
        sheet.paste(Image.fromarray(flow_colours(disk, largest=1.0)), (left, top), inside)
        _note(f"rim: {largest:.1f} px")(sheet, left, top + 60)

    return legend


def _error_legend(sheet: Image.Image, left: int, top: int) -> None:
    for line, (colour, text) in enumerate(((_FALSE, "false positive"), (_MISSED, "false negative"))):
        ImageDraw.Draw(sheet).rectangle((left, top + 3 + 20 * line, left + 10, top + 13 + 20 * line), colour)
        _note(text)(sheet, left + 17, top + 20 * line)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
