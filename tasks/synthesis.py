"""Synthetic clips as files, for training other models and for inspection (OCLR's data; paper, A.3)."""

from pathlib import Path

import numpy as np
from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from motion_adapt.models.inputs.imaging import labels_from_masks
from motion_adapt.models.synthetic.synthetic_clip import SyntheticClip
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.storage.results.synthetic_set import is_written, write_clip
from motion_adapt.tasks.runtime.place import use_threads
from motion_adapt.tasks.settings import Size


class SyntheticSet(BaseModel):
    """Settings shared by the clips of a set; these and a clip's number determine the clip."""

    model_config = ConfigDict(frozen=True)

    seed: int = Field(0, ge=0)
    frames: int = Field(30, ge=2, description="frames per clip")
    size: Size = Field((256, 448), description="(height, width) in pixels")
    gaps: tuple[int, ...] = Field(
        (1,), description="frame distances for which exact flow is written, forward and backward"
    )
    photos: str | None = Field(
        None, description="folder of photos for textures; if unset, procedural textures"
    )
    silhouettes: str | None = Field(
        None, description="folder of mask pictures for half of the shapes; if unset, all shapes are drawn"
    )

    def supply(self) -> SyntheticClips:
        """Return the clips."""
        photos, silhouettes = (Path(name) if name else None for name in (self.photos, self.silhouettes))
        return SyntheticClips(
            seed=self.seed, photos=photos, silhouettes=silhouettes, size=self.size, frames=self.frames
        )


def clip_name(clip: SyntheticClip, index: int) -> str:
    """Return <number of objects>_<index>, the form that loaders of OCLR's synthetic data read."""
    return f"{clip.num_objects}_{index:05d}"


def exact_flow(clip: SyntheticClip, gap: int) -> dict[int, np.ndarray]:
    """Return flow f32 (H, W, 2) by frame, to the frame `gap` later if it exists; a negative gap looks back."""
    frames = range(len(clip.rgb))
    return {t: clip.displacement(t, t + gap) for t in frames if t + gap in frames}


@task(name="synthesise", persist_result=False)
def synthesise_clip(folder: str, index: int, what: SyntheticSet, threads: int = 1) -> str:
    """Generate clip number `index` and write it to `folder`, unless it is there already. Returns its name."""
    use_threads(threads)
    supply = what.supply()
    root, name = Path(folder), clip_name(supply.make(index, paint=False, frames=2), index)
    if is_written(root, name):
        return name
    clip = supply.make(index)
    write_clip(
        root,
        name,
        rgb=clip.rgb,
        labels=labels_from_masks(clip.modal),
        amodal=clip.amodal[:, : clip.num_objects],
        flow={signed: exact_flow(clip, signed) for gap in what.gaps for signed in (gap, -gap)},
    )
    return name
