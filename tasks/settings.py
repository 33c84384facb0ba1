"""Every choice of a run, by stage. A stage's settings are part of its artifacts' keys, and nothing else is.

The defaults are the `compact` preset; `flows/run/presets.py` has the others and the ways to override a field.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from motion_adapt.models.networks.sizes import PRETRAINING

RAFT_WEIGHTS = "C_T_V1"  # trained on synthetic clips alone, and the paper's
Size = tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]]
Precision = Literal["float32", "bfloat16", "float16"]
TrainingPrecision = Annotated[
    Literal["float32", "bfloat16"],
    Field(
        description="of the networks' passes in training; bfloat16 is faster on GPUs and on CPUs with units for it "
        "(AVX512-BF16, AMX), and several times slower on others"
    ),
]


class StageSettings(BaseModel):
    """Frozen; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FlowSettings(StageSettings):
    """Optical flow between frames i and i ± gap."""

    estimator: Literal["dis", "raft_large", "raft_small", "flo"] = Field(
        "dis", description="dis: OpenCV, needs no weights; raft_*: torchvision; flo: ready-made .flo files"
    )
    weights: str | None = Field(
        None,
        description="torchvision's weight name for raft_*; none: C_T_V1, trained on synthetic clips alone",
    )
    updates: int = Field(20, ge=1, description="RAFT's recurrent updates")
    resolution: Size | None = Field(
        None, description="(height, width) that the estimator sees; none: the frames' own"
    )
    keep_padding: bool = Field(
        False,
        description="keep the border that RAFT's frames are padded with in the flow, as the paper's script does",
    )
    folder: str | None = Field(None, description="for flo: the folder with Flows_gap1/<clip>/<frame>.flo")

    @model_validator(mode="before")
    @classmethod
    def _name_weights(cls, given: Any) -> Any:
        """Settings name RAFT's weights, so that a key is the same whether a user named them or not."""
        raft = isinstance(given, dict) and str(given.get("estimator")).startswith("raft")
        return {**given, "weights": RAFT_WEIGHTS} if raft and not given.get("weights") else given

    @model_validator(mode="after")
    def _complete(self) -> "FlowSettings":
        if self.estimator == "flo" and not self.folder:
            raise ValueError("flow.folder: name the folder that holds Flows_gap1, Flows_gap-1, ...")
        if self.folder and self.estimator != "flo":
            raise ValueError(
                f"flow.folder={self.folder} is read by flow.estimator=flo alone, and that is {self.estimator}: "
                "set it to flo, or name no folder"
            )
        return self


class GapSettings(StageSettings):
    """Frame distances of the flow pairs (paper A.3): fine-tuning sees other gaps than inference does."""

    inference: int = Field(1, ge=1, description="±gap of proposals; 3 for slow data sets")
    adaptation: int = Field(2, ge=1, description="±gap of OCLR fine-tuning")

    @model_validator(mode="after")
    def _differ(self) -> "GapSettings":
        if self.inference == self.adaptation:
            raise ValueError(
                "gaps.adaptation must differ from gaps.inference: fine-tuning on the same flow learns nothing"
            )
        return self


class BackboneSettings(StageSettings):
    """A frozen feature network."""

    backbone: str = Field("compact", description="'compact' (the project's own) or any timm ViT by name")
    checkpoint: str | None = Field(
        None, description="a local weight file; none: the project's own or timm's pretrained"
    )
    reference: bool = Field(False, description="the official code's RGB std and position-table resampling")


class FeatureSettings(StageSettings):
    """Features on an 8x14 grid for the selector and a 16x28 grid for the corrector."""

    selector: BackboneSettings = BackboneSettings()
    corrector: BackboneSettings = BackboneSettings()


class ProposalSettings(StageSettings):
    """OCLR on flow (eq. 1), or ready-made masks of any other model."""

    chunk: int = Field(30, ge=1, description="frames that OCLR sees at once")
    overlap: int = Field(
        10, ge=0, description="frames that neighbouring chunks share; 0 is the reference's grouping"
    )
    link_iou: float = Field(
        0.1, ge=0, le=1, description="below this IoU on the overlap an object counts as a new one"
    )
    contrast: float = Field(
        0.5,
        ge=0,
        description="objects of a chunk between which the flow changes by less than this share of its change at their "
        "outlines are joined into one; 0: none are",
    )

    folder: str | None = Field(
        None,
        description="ready-made proposals, <clip>/<frame>.png indexed; OCLR is then neither run nor fine-tuned",
    )

    @model_validator(mode="after")
    def _overlap(self) -> "ProposalSettings":
        if self.overlap >= self.chunk:
            raise ValueError("proposal.overlap must be smaller than proposal.chunk")
        return self


class SelectionSettings(StageSettings):
    """The mask selector (eq. 2-4), or a simpler rule in its place (Table 3)."""

    method: Literal["error_map", "score", "propagation", "random"] = Field(
        "propagation",
        description="what frames are ranked by: the selector's error map; its scalar head, trained on IoU (a "
        "checkpoint of its own); how well features carry a mask to its neighbours' (no checkpoint); a lot",
    )
    exemplars: int = Field(10, ge=1, description="exemplars per object (t)")
    limit: int = Field(
        20,
        ge=2,
        description="frames that share exemplars and that the selector sees at once; longer clips are split into parts",
    )


class CorrectionSettings(StageSettings):
    """The mask corrector (eq. 5-8)."""

    window: int = Field(7, ge=1, description="target frames per window (T)")


class TrainingSettings(StageSettings):
    """A training on pseudo-labels."""

    steps: int = Field(200, ge=1)
    learning_rate: float = Field(2e-5, gt=0)
    batch: int = Field(1, ge=1)
    precision: TrainingPrecision = "float32"
    # excluded from keys: how often the state is saved changes no result
    checkpoint_every: int = Field(50, ge=1, exclude=True, description="steps between resumable checkpoints")


class CorrectorTrainingSettings(TrainingSettings):
    """Adaptation of the corrector on pseudo-labels."""

    reconstruction: bool = Field(
        True, description="whether the reconstruction of the features is part of the loss (Table 15)"
    )


class UpsamplerTrainingSettings(TrainingSettings):
    """Fine-tuning of the corrector's upsampler with annotations (Table 16); `finetune-upsampler` alone reads it."""


class OclrTrainingSettings(TrainingSettings):
    """OCLR fine-tuning."""

    frames: int = Field(12, ge=2, description="frames of a training sample")


class PerClipSettings(StageSettings):
    """Adaptation of the corrector to each clip alone, before its final masks (paper A.3)."""

    enabled: bool = Field(
        False, description="a training per clip: about 20 times the time of all other stages"
    )
    steps: int = Field(200, ge=1, description="at most")
    learning_rate: float = Field(2e-5, gt=0)
    batch: int = Field(1, ge=1)
    precision: TrainingPrecision = "float32"
    reconstruction: bool = Field(
        True, description="whether the reconstruction of the features is part of the loss"
    )
    check_every: int = Field(20, ge=1, description="steps between looks at the held-out exemplar frames")
    patience: int = Field(3, ge=1, description="looks without improvement after which it stops")


class CrfSettings(StageSettings):
    """Dense CRF on the final masks at the frames' own resolution."""

    enabled: bool = False
    iterations: int = Field(5, ge=1)


class EvaluationSettings(StageSettings):
    """How masks are scored where labels exist."""

    protocol: Literal["single", "objects", "boxes"] = Field(
        "single",
        description="single: one foreground, DAVIS 2016; objects: by assignment, DAVIS 2017 unsupervised; "
        "boxes: IoU of boxes, MoCA",
    )
    skip_ends: bool = Field(
        True, description="for single: leave out a clip's first and last frame, as DAVIS 2016 does"
    )


class PretrainSettings(StageSettings):
    """Training from scratch on synthetic clips."""

    steps: int = Field(2000, ge=1, description="steps of each network")
    size: Literal["compact", "paper"] = Field(
        PRETRAINING["size"],
        description="widths of the networks, and what a step sees (models/networks/sizes.py)",
    )
    flow: Literal["exact", "noisy", "dis", "mixed"] = Field(
        PRETRAINING["flow"],
        description="what OCLR sees of a synthetic clip's motion; mixed: noisy or dis, by the clip",
    )
    pool: int = Field(
        PRETRAINING["pool"],
        ge=0,
        description="distinct clips that the heads see, whose features are kept; 0: endless",
    )
    batch: int | None = Field(
        PRETRAINING["batch"],
        ge=1,
        description="clips of a step of OCLR, selector and corrector; none: those of the size, which suit a CPU",
    )
    frames: int | None = Field(
        PRETRAINING["frames"], ge=4, description="of OCLR's clips at most; none: those of the size"
    )
    photos: str | None = Field(
        None, description="a folder of photos for textures and backgrounds; none: procedural ones"
    )
    silhouettes: str | None = Field(
        None, description="a folder of mask pictures for half of the shapes; none: all of them are drawn"
    )
    corrector: Literal["attention", "alpha", "dense"] = Field(
        PRETRAINING["corrector"],
        description="what the corrector decodes into masks (Table 5): attention maps of its object queries; their "
        "alpha maps; masks carried over position by position, without queries",
    )
    background: int = Field(
        PRETRAINING["background"], ge=1, description="background queries of the corrector (Table 8)"
    )
    window: int | None = Field(
        PRETRAINING["window"],
        ge=1,
        description="target frames of a corrector's step (Table 6); none: those of the size",
    )
    exemplars: int = Field(
        PRETRAINING["exemplars"], ge=1, description="at most so many exemplars per object in a step (Table 7)"
    )
    exemplars_by: Literal["propagation", "selector", "truth"] = Field(
        PRETRAINING["exemplars_by"],
        description="what the exemplars of a step are chosen by: propagation of the corrector's features; the "
        "selector, which is trained before; their true errors, blurred",
    )
    rate: float | None = Field(
        PRETRAINING["rate"],
        gt=0,
        description="learning rate at its highest; none: by the length of the training",
    )
    precision: TrainingPrecision = PRETRAINING["precision"]
    checkpoint_every: int = Field(100, ge=1)
    workers: int = Field(
        0,
        ge=0,
        description="processes that draw clips ahead; a GPU waits for clips without about ten of them",
    )


class Settings(StageSettings):
    """All of a run's settings."""

    seed: int = Field(0, ge=0)
    objects: int = Field(3, ge=1, description="masks per clip (K); the checkpoints must agree")
    precision: Precision = Field(
        "float32",
        description="of the networks on a GPU that propose, select and correct; a CPU takes float32 alone",
    )
    flow: FlowSettings = FlowSettings()
    gaps: GapSettings = GapSettings()
    features: FeatureSettings = FeatureSettings()
    proposal: ProposalSettings = ProposalSettings()
    selection: SelectionSettings = SelectionSettings()
    correction: CorrectionSettings = CorrectionSettings()
    corrector_adaptation: CorrectorTrainingSettings = CorrectorTrainingSettings()
    oclr_finetuning: OclrTrainingSettings = OclrTrainingSettings()
    upsampler_finetuning: UpsamplerTrainingSettings = UpsamplerTrainingSettings()
    per_clip: PerClipSettings = PerClipSettings()
    crf: CrfSettings = CrfSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    pretrain: PretrainSettings = PretrainSettings()


NETWORK_METHODS = ("error_map", "score")  # of selection.method: those that need a selector
