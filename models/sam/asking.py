"""The choices in asking a Segment Anything model about an object, and in taking its answers."""

from dataclasses import dataclass
from typing import Literal

PromptKind = Literal["mask+points", "mask", "points", "box"]
Output = Literal["single", "best", "closest"]


@dataclass(frozen=True)
class Asking:
    """The choices in asking a model and in taking its answers.

    Attributes:
        prompt: the parts of the prompt.
        points: about how many points a prompt has.
        output: which answer counts. single: the model's one answer; best: of its three candidates, the one for which it
            predicts the highest IoU; closest: the one that overlaps most with the mask of the prompt.
        least_iou: least IoU of an answer with the mask of the prompt.
    """

    prompt: PromptKind = "mask+points"
    points: int = 10
    output: Output = "single"
    least_iou: float = 0.1
