"""All settings of a run, by stage. A stage's settings are part of its artifacts' keys; other stages' are not.

The defaults are the `compact` preset; `flows/run/presets.py` has the other presets and the ways to override a field.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from motion_adapt.models.networks.sizes import PRETRAINING
from motion_adapt.models.sam.asking import Output, PromptKind
from motion_adapt.storage.formats.label_rules import Background

WORKING_SIZE = (128, 224)  # of models/inputs/imaging.py, which imports torch
RAFT_WEIGHTS = "C_T_V1"  # the paper's, trained on synthetic data only
Size = tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]]
Precision = Literal["float32", "bfloat16", "float16"]
TrainingPrecision = Annotated[
    Literal["float32", "bfloat16"],
    Field(
        description="number format of the networks in training; bfloat16 is faster on GPUs and on CPUs that support it "
        "in hardware (AVX512-BF16, AMX), and several times slower on other CPUs"
    ),
]


class StageSettings(BaseModel):
    """Base of all settings: frozen; an unknown field is an error, and so is a number that is not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WithLaterSettings(StageSettings):
    """Settings of which some came later. At their defaults these are not part of keys, which stay as they were."""

    later: ClassVar[tuple[str, ...]]

    @model_serializer(mode="wrap")
    def _leave_out_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = serialize(self)
        fields = type(self).model_fields
        return {n: value for n, value in told.items() if n not in self.later or value != fields[n].default}


class FramesSettings(StageSettings):
    """The frames of a clip, and where those of native size are kept."""

    start: int = Field(0, ge=0, description="first frame of each clip to use, counted from 0")
    end: int | None = Field(
        None, ge=2, description="the frame before which each clip ends; if unset, its own end"
    )
    every: int = Field(1, ge=1, description="use every N-th frame")
    fps: float | None = Field(
        None, gt=0, description="for videos: use about this many frames per second, instead of `every`"
    )

    keep: Literal["source", "native"] = Field(
        "source",
        description="source: read native frames from the source whenever they are needed; native: keep a copy in the "
        "store, about as large as PNGs, for sources that go away or that not all machines see",
    )

    @model_validator(mode="after")
    def _in_order(self) -> "FramesSettings":
        if self.end is not None and self.end < self.start + 2:
            raise ValueError(
                f"frames.end={self.end} leaves fewer than two frames from frames.start={self.start} on, and optical "
                "flow needs two"
            )
        return self


class FlowSettings(StageSettings):
    """Optical flow between frames i and i ± gap."""

    estimator: Literal["dis", "raft_large", "raft_small", "flo"] = Field(
        "dis", description="dis: OpenCV, without weights; raft_*: torchvision; flo: ready-made .flo files"
    )
    weights: str | None = Field(
        None,
        description="torchvision's weight name for raft_*; if unset, C_T_V1, which was trained on synthetic data only",
    )
    updates: int = Field(20, ge=1, description="RAFT's recurrent updates")
    resolution: Size | None = Field(
        None, description="(height, width) of the estimator's input; if unset, the frames' own size"
    )
    keep_padding: bool = Field(
        False,
        description="keep the border with which RAFT's frames are padded in the flow, as the paper's script does",
    )
    folder: str | None = Field(
        None, description="for flo: the folder that holds Flows_gap1/<clip>/<frame>.flo"
    )

    @model_validator(mode="before")
    @classmethod
    def _name_weights(cls, given: Any) -> Any:
        """Fill in the name of RAFT's weights, so that keys are the same whether a user gives it or not."""
        raft = isinstance(given, dict) and str(given.get("estimator")).startswith("raft")
        return {**given, "weights": RAFT_WEIGHTS} if raft and not given.get("weights") else given

    @model_validator(mode="after")
    def _complete(self) -> "FlowSettings":
        if self.estimator == "flo" and not self.folder:
            raise ValueError("flow.folder: name the folder that holds Flows_gap1, Flows_gap-1, ...")
        if self.folder and self.estimator != "flo":
            raise ValueError(
                f"flow.folder={self.folder} is used only with flow.estimator=flo, but flow.estimator is "
                f"{self.estimator}: set it to flo, or name no folder"
            )
        return self


class GapSettings(StageSettings):
    """Frame distances of the flow pairs (paper A.3). Fine-tuning uses another gap than inference."""

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

    backbone: str = Field("compact", description="'compact' (the project's own) or the name of any timm ViT")
    checkpoint: str | None = Field(
        None, description="a local weight file; if unset, the project's own or timm's pretrained weights"
    )
    reference: bool = Field(
        False, description="use the official code's RGB standard deviation and position-table resampling"
    )


class FeatureSettings(StageSettings):
    """Features on an 8x14 grid for the selector and a 16x28 grid for the corrector."""

    selector: BackboneSettings = BackboneSettings()
    corrector: BackboneSettings = BackboneSettings()


class ProposalSettings(StageSettings):
    """OCLR on flow (eq. 1), or ready-made masks of any other model."""

    chunk: int = Field(30, ge=1, description="frames that OCLR processes at once")
    overlap: int = Field(
        10,
        ge=0,
        description="frames that consecutive chunks share; 0 groups frames as the reference code does",
    )
    link_iou: float = Field(
        0.1, ge=0, le=1, description="an object counts as new if its IoU on the overlap is below this"
    )
    contrast: float = Field(
        0.5,
        ge=0,
        description="two objects of a chunk are joined if the flow changes less between them than this share of its "
        "change at their outlines; 0 joins none",
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


class SelectionSettings(WithLaterSettings):
    """The mask selector (eq. 2-4), or a simpler rule in its place (Table 3)."""

    later: ClassVar[tuple[str, ...]] = ("given",)
    method: Literal["error_map", "score", "propagation", "random"] = Field(
        "propagation",
        description="how frames are ranked. error_map: by the selector's error map; score: by the selector's scalar "
        "head, trained on IoU (a separate checkpoint); propagation: by how well features carry a mask to its "
        "neighbours (no checkpoint); random: at random",
    )
    exemplars: int = Field(10, ge=1, description="exemplars per object (t)")
    limit: int = Field(
        20,
        ge=2,
        description="frames that the selector processes at once and that share exemplars; longer clips are split",
    )
    given: str | None = Field(
        None,
        description="masks by hand for a few frames, <clip>/<frame>.png indexed; they are exemplars for the whole clip "
        "and come out unchanged. Results are then not label-free",
    )

    def without_given(self) -> "SelectionSettings":
        """Return the settings without `given`: the masks' content is part of keys, not where they are."""
        return self.model_copy(update={"given": None})


class CorrectionSettings(StageSettings):
    """The mask corrector (eq. 5-8)."""

    window: int = Field(7, ge=1, description="target frames per window (T)")
    even: bool = Field(
        True,
        description="shorten windows evenly where they would overlap, which saves time: 15 frames are three windows "
        "of 5 instead of 7",
    )
    borrow: bool = Field(
        True,
        description="correct a part of a clip (`selection.limit`) in which nothing was proposed from the exemplars of "
        "the nearest part that shows an object; else its masks are empty",
    )


class SmoothingSettings(StageSettings):
    """Smoothing of the corrected masks along the flow (models/inference/smoothing.py)."""

    enabled: bool = Field(True, description="smooth the corrected masks along the flow")
    iterations: int = Field(
        10, ge=1, description="number of iterations; each reaches frames that are one gap further away"
    )
    weight: float = Field(
        2.0, gt=0, description="weight of a neighbouring frame's probabilities; the frame's own have weight 1"
    )


class TrainingSettings(StageSettings):
    """A training on pseudo-labels."""

    steps: int = Field(200, ge=1, description="number of training steps")
    learning_rate: float = Field(2e-5, gt=0, description="constant learning rate")
    batch: int = Field(1, ge=1, description="training samples per step")
    precision: TrainingPrecision = "float32"
    # excluded from keys: how often the state is saved does not affect the result
    checkpoint_every: int = Field(50, ge=1, exclude=True, description="steps between resumable checkpoints")


class AdaptationSettings(TrainingSettings, WithLaterSettings):
    """A training on the masks of the round before."""

    later: ClassVar[tuple[str, ...]] = ("cool_down",)
    cool_down: bool = Field(
        False,
        description="the rate rises for a fifteenth of the steps and falls to zero over the second half; false: it is "
        "constant, as in the paper",
    )


class PseudoLabelSettings(StageSettings):
    """What a round learns from: the masks of the round before."""

    masks: Literal["corrected", "refined"] = Field(
        "refined",
        description="corrected: those of the corrector, as in the paper; refined: those after smoothing, clip network "
        "and edges, without CRF and SAM",
    )
    dice: float = Field(
        0.1, ge=0, description="weight of soft Dice in the losses of the trainings; without it, masks shrink"
    )


class CorrectorTrainingSettings(AdaptationSettings):
    """Adaptation of the corrector on pseudo-labels."""

    reconstruction: bool = Field(
        True, description="include the reconstruction of the features in the loss (Table 15)"
    )


class UpsamplerTrainingSettings(TrainingSettings):
    """Fine-tuning of the corrector's upsampler with annotations (Table 16); used only by `finetune-upsampler`."""


class OclrTrainingSettings(AdaptationSettings):
    """OCLR fine-tuning."""

    later: ClassVar[tuple[str, ...]] = ("cool_down", "vary", "synthetic", "also")
    frames: int = Field(12, ge=2, description="frames of a training sample")
    vary: bool = Field(
        False, description="mirror and reverse samples at random, and show them faster or slower"
    )
    synthetic: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the steps on synthetic clips, which keep OCLR from forgetting what the videos don't show",
    )
    also: Literal["dis", "raft_large", "raft_small"] | None = Field(
        None,
        description="a flow estimator whose flow OCLR learns from too, with the same masks: RAFT with C_T_V1, 12 "
        "updates and frames of 128 x 224, DIS with the frames' own size",
    )

    def second_flow(self) -> FlowSettings | None:
        """Return the settings of the flow that `also` names."""
        if self.also is None:
            return None
        if self.also == "dis":
            return FlowSettings()
        return FlowSettings(estimator=self.also, updates=12, resolution=WORKING_SIZE)


class PerClipSettings(StageSettings):
    """Adaptation of the corrector to each single clip, before its final masks (paper A.3)."""

    enabled: bool = Field(
        False,
        description="train a corrector per clip; for a clip of 60 frames, this takes several times as long as all "
        "other stages",
    )
    steps: int = Field(200, ge=1, description="maximum number of steps")
    learning_rate: float = Field(2e-5, gt=0, description="constant learning rate")
    batch: int = Field(1, ge=1, description="training samples per step")
    precision: TrainingPrecision = "float32"
    reconstruction: bool = Field(True, description="include the reconstruction of the features in the loss")
    check_every: int = Field(20, ge=1, description="steps between checks on the held-out exemplar frames")
    patience: int = Field(3, ge=1, description="checks without improvement after which the training stops")


class ClipNetworkSettings(StageSettings):
    """A small network that is trained on the masks of one clip and improves them (models/networks/clip_network.py)."""

    enabled: bool = Field(True, description="train a network for each clip")
    start: Literal["shared", "scratch"] = Field(
        "shared",
        description="shared: start from a network that learnt the masks of many clips, the shipped one or that "
        "of the weights folder; scratch: start from random weights, which need about 400 steps",
    )
    motion: bool = Field(
        True, description="show the network how fast each pixel moves, apart from the camera's motion"
    )
    second_opinion: bool = Field(
        True,
        description="average a clip's masks with those of the shared network before its own network learns them, if "
        "the average fits the clip better. Needs `start=shared`, a shared network that sees motion, and "
        "`shared_network.steps=0`",
    )
    steps: int = Field(120, ge=1, description="minimum number of steps for a clip")
    steps_per_frame: float = Field(2.0, ge=0, description="steps per frame of the clip, if that gives more")
    learning_rate: float = Field(1.5e-3, gt=0, description="peak learning rate")
    batch: int = Field(1, ge=1, description="frames per step")
    precision: TrainingPrecision = "float32"
    agreement: float = Field(
        0.35,
        ge=0,
        le=1,
        description="a clip keeps its earlier masks if the network's foreground has a lower IoU with them than this, "
        "in up to 24 frames; the same holds for second opinions",
    )
    sizes: tuple[Annotated[float, Field(ge=0.5, le=4)], ...] = Field(
        (1.0, 1.5, 2.0),
        min_length=1,
        description="sizes of the frames that the network sees in turn, as multiples (0.5 to 4) of 128 x 224; "
        "smoothing brings them together. Larger sizes give tighter masks and take more time; every second one is seen "
        "as a mirror image",
    )
    # excluded from keys: how often the state is saved changes no result
    checkpoint_every: int = Field(100, ge=1, exclude=True, description="steps between resumable checkpoints")

    def for_second_opinion(self) -> "ClipNetworkSettings":
        """Return these settings with all that a second opinion does not read at its default, and so out of its key."""
        return ClipNetworkSettings(agreement=self.agreement, sizes=self.sizes)

    def steps_for(self, frames: int) -> int:
        """Return the steps of a clip of so many frames."""
        return max(self.steps, round(self.steps_per_frame * frames))


class EdgeSettings(StageSettings):
    """Borders of the refined masks: they move to where colour or motion changes (models/inference/edges.py)."""

    enabled: bool = Field(True, description="move mask borders to where colour or motion changes")
    iterations: int = Field(
        20, ge=1, description="number of iterations; each reaches up to 12 pixels further"
    )
    colour: float = Field(
        0.04,
        gt=0,
        description="colour difference (channels from 0 to 1) at which a neighbour's weight has fallen to 0.61",
    )
    motion: float = Field(
        0.7,
        gt=0,
        description="the same for motion, in pixels of 128 x 224 per frame",
    )
    own: float = Field(
        0.5, gt=0, description="weight of a pixel's own probability; a neighbour's is at most 1"
    )
    threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="probability above which a pixel shows an object; none: chosen for each clip",
    )

    def averaging(self) -> dict[str, float]:
        """Return the parameters of `follow_edges_of_frame` (models/inference/edges.py)."""
        return self.model_dump(exclude={"enabled", "threshold"})


class FineEdgeSettings(StageSettings):
    """Borders of the final masks: they follow the edges of the native frames, if `edges` and no CRF are enabled."""

    enabled: bool = Field(True, description="follow edges again at twice the working resolution")
    iterations: int = Field(
        5, ge=1, description="number of iterations; each reaches up to 4 pixels of 256 x 448 further"
    )


class SharedNetworkSettings(TrainingSettings):
    """Training of the network that clip networks start from, on all clips (models/adaptation/shared_network.py)."""

    steps: int = Field(0, ge=0, description="training steps in each round; 0 leaves the network as it is")
    learning_rate: float = Field(2e-3, gt=0, description="peak learning rate")
    batch: int = Field(4, ge=1, description="frames per step, each from another clip")


class CrfSettings(StageSettings):
    """Dense CRF on the final masks at the frames' own resolution."""

    enabled: bool = Field(
        False, description="refine the final masks by the CRF; not available on Python 3.13"
    )
    iterations: int = Field(5, ge=1, description="mean-field iterations")


class SamSettings(StageSettings):
    """Refinement of the final masks by SAM, HQ-SAM or SAM 2 (models/sam/), which were trained with annotations."""

    model: str | None = Field(
        None,
        description="a model of transformers: a name on the hub such as facebook/sam-vit-huge, or a folder; if "
        "unset, no mask is refined",
    )
    prompt: PromptKind = Field(
        "mask+points", description="the prompt for an object; the paper gives the mask and points"
    )
    points: int = Field(
        10, ge=1, description="approximate number of grid points inside the mask that are given"
    )
    output: Output = Field(
        "single",
        description="single: the model's single answer; best: the one of its three candidates with the highest "
        "predicted IoU; closest: the candidate that overlaps most with the mask",
    )
    least_iou: float = Field(
        0.1,
        ge=0,
        le=1,
        description="an object keeps its mask in a frame if the model's answer has a lower IoU with it than this",
    )
    video: bool = Field(
        False,
        description="let SAM 2 carry the masks of the exemplar frames through the clip, instead of refining each frame",
    )
    teach: bool = Field(
        False,
        description="refine pseudo-labels too; every checkpoint that is adapted on them is then marked as not "
        "label-free",
    )

    @model_validator(mode="after")
    def _complete(self) -> "SamSettings":
        for name in ("video", "teach"):
            if getattr(self, name) and not self.model:
                raise ValueError(f"sam.{name}=true needs a model: name one with sam.model, or --sam")
        return self


class ExportSettings(StageSettings):
    """The masks that a run writes."""

    fill: bool = Field(
        False,
        description="give the frames that `frames.every` or `frames.fps` leave out masks too, carried along the flow "
        "from the masks on both sides",
    )


class EvaluationSettings(StageSettings):
    """How masks are scored if labels exist."""

    protocol: Literal["single", "objects", "boxes"] = Field(
        "single",
        description="single: one foreground, as DAVIS 2016; objects: by assignment, as DAVIS 2017 unsupervised; "
        "boxes: IoU of boxes, as MoCA",
    )
    skip_ends: bool = Field(
        True, description="for single: leave out a clip's first and last frame, as DAVIS 2016 does"
    )


class PretrainSettings(StageSettings):
    """Training from scratch on synthetic clips."""

    steps: int = Field(2000, ge=1, description="training steps of each network")
    size: Literal["compact", "paper"] = Field(
        PRETRAINING["size"],
        description="widths of the networks, and the data of a step (models/networks/sizes.py)",
    )
    flow: Literal["exact", "noisy", "dis", "mixed"] = Field(
        PRETRAINING["flow"],
        description="the flow of a synthetic clip that OCLR sees; mixed: noisy or dis, drawn per clip",
    )
    pool: int = Field(
        PRETRAINING["pool"],
        ge=0,
        description="number of different clips for selector and corrector, whose features are kept; 0: unlimited",
    )
    batch: int | None = Field(
        PRETRAINING["batch"],
        ge=1,
        description="clips per step of OCLR, selector and corrector; if unset, that of `size`, which suits a CPU",
    )
    frames: int | None = Field(
        PRETRAINING["frames"], ge=4, description="maximum length of OCLR's clips; if unset, that of `size`"
    )
    residual: bool = Field(
        PRETRAINING["residual"],
        description="show OCLR the flow without the camera's motion too (a homography, fitted robustly)",
    )
    photos: str | None = Field(
        None, description="a folder of photos for textures and backgrounds; if unset, procedural textures"
    )
    silhouettes: str | None = Field(
        None, description="a folder of mask pictures for half of the shapes; if unset, all shapes are drawn"
    )
    corrector: Literal["attention", "alpha", "dense"] = Field(
        PRETRAINING["corrector"],
        description="what the corrector decodes into masks (Table 5). attention: attention maps of its object queries; "
        "alpha: their alpha maps; dense: masks carried over position by position, without queries",
    )
    background: int = Field(
        PRETRAINING["background"], ge=1, description="number of background queries of the corrector (Table 8)"
    )
    window: int | None = Field(
        PRETRAINING["window"],
        ge=1,
        description="target frames per step of the corrector (Table 6); if unset, that of `size`",
    )
    exemplars: int = Field(
        PRETRAINING["exemplars"],
        ge=1,
        description="maximum number of exemplars per object in a step (Table 7)",
    )
    exemplars_by: Literal["propagation", "selector", "truth"] = Field(
        PRETRAINING["exemplars_by"],
        description="how the exemplars of a step are chosen. propagation: by how well the corrector's features carry "
        "masks over; selector: by the selector, which is trained first; truth: by their true errors, with noise",
    )
    rate: float | None = Field(
        PRETRAINING["rate"],
        gt=0,
        description="peak learning rate; if unset, chosen by the length of the training",
    )
    precision: TrainingPrecision = PRETRAINING["precision"]
    checkpoint_every: int = Field(100, ge=1, description="steps between resumable checkpoints")
    workers: int = Field(
        0,
        ge=0,
        description="processes that generate clips in advance; a GPU needs about ten to be kept busy",
    )


class Settings(StageSettings):
    """All settings of a run."""

    seed: int = Field(
        0, ge=0, description="seed of everything random: trainings, and `selection.method` = `random`"
    )
    objects: int = Field(3, ge=1, description="masks per clip (K); the checkpoints must agree")
    precision: Precision = Field(
        "float32",
        description="number format of the proposing, selecting and correcting networks on a GPU; a CPU only supports "
        "float32",
    )
    shots: Literal["split", "off"] = Field(
        "split",
        description="split: a video with cuts becomes one clip per shot; off: it stays whole. Clips of benchmarks and "
        "clips with annotations are never split",
    )
    mask_background: Background = Field(
        "black",
        description="what is behind the objects of annotations and ready-made proposals that are stored in colours: "
        "black, or the most frequent colour on the borders of the clip's masks",
    )
    adapts: Literal["oclr", "corrector", "both"] = Field(
        "oclr",
        description="the networks that a round adapts; the paper adapts both. With ready-made proposals, which need no "
        "OCLR, it is always the corrector",
    )
    keep_better: bool = Field(
        True,
        description="in a round, a clip keeps its masks of the round before if these fit its edges better; "
        "needs `edges`",
    )
    also_dis: bool = Field(
        True,
        description="with RAFT or ready-made flow, masks are made from DIS flow too, and each clip keeps those that "
        "fit its edges better; needs `edges`, and not with ready-made proposals",
    )
    # excluded from keys: where native frames are read changes no result
    frames: FramesSettings = Field(FramesSettings(), exclude=True)
    flow: FlowSettings = FlowSettings()
    gaps: GapSettings = GapSettings()
    features: FeatureSettings = FeatureSettings()
    proposal: ProposalSettings = ProposalSettings()
    selection: SelectionSettings = SelectionSettings()
    correction: CorrectionSettings = CorrectionSettings()
    smoothing: SmoothingSettings = SmoothingSettings()
    pseudo_labels: PseudoLabelSettings = PseudoLabelSettings()
    corrector_adaptation: CorrectorTrainingSettings = CorrectorTrainingSettings()
    oclr_finetuning: OclrTrainingSettings = OclrTrainingSettings()
    upsampler_finetuning: UpsamplerTrainingSettings = UpsamplerTrainingSettings()
    per_clip: PerClipSettings = PerClipSettings()
    shared_network: SharedNetworkSettings = SharedNetworkSettings()
    clip_network: ClipNetworkSettings = ClipNetworkSettings()
    edges: EdgeSettings = EdgeSettings()
    fine_edges: FineEdgeSettings = FineEdgeSettings()
    crf: CrfSettings = CrfSettings()
    sam: SamSettings = SamSettings()
    # excluded from keys: masks in between change no others
    export: ExportSettings = Field(ExportSettings(), exclude=True)
    evaluation: EvaluationSettings = EvaluationSettings()
    pretrain: PretrainSettings = PretrainSettings()

    @model_validator(mode="after")
    def _other_flow(self) -> "Settings":
        if self.oclr_finetuning.also == self.flow.estimator:
            raise ValueError(
                f"oclr_finetuning.also: flow.estimator is {self.flow.estimator} too, and fine-tuning on the same flow "
                "learns nothing; name another estimator"
            )
        return self

    @property
    def adapts_oclr(self) -> bool:
        """Whether a round fine-tunes OCLR."""
        return self.proposal.folder is None and self.adapts != "corrector"

    @property
    def adapts_corrector(self) -> bool:
        """Whether a round adapts the corrector."""
        return self.proposal.folder is not None or self.adapts != "oclr"

    @property
    def adds_dis(self) -> bool:
        """Whether masks are made from DIS flow, in addition to those from the run's own."""
        proposes_from_other = self.proposal.folder is None and self.flow.estimator != "dis"
        return self.also_dis and self.edges.enabled and proposes_from_other

    def without_given(self) -> "Settings":
        """Return the settings without `selection.given`."""
        return self.model_copy(update={"selection": self.selection.without_given()})


NETWORK_METHODS = ("error_map", "score")  # values of selection.method that need a selector
