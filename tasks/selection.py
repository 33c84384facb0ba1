"""Selection: where each proposal is wrong, and which frames can be trusted (paper eq. 2-4)."""

from motion_adapt.models.inference.pipeline import select as select_exemplars
from motion_adapt.models.inference.planning import PART_LENGTH
from motion_adapt.models.inference.proposal_judges import Judge, propagation_judge, random_judge
from motion_adapt.models.inputs.still_frames import MOVING
from motion_adapt.models.networks.precision import autocast_dtype
from motion_adapt.models.networks.selector import MaskSelector
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import by_hand_of
from motion_adapt.tasks.checkpoints import get_network
from motion_adapt.tasks.proposal import kinds_of
from motion_adapt.tasks.runtime.dims import MASK_DIMS, ROW_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import Precision, SelectionSettings


@stage("selection", version=3, gpu=True)
def select(
    frames: Artifact,
    tokens: Artifact,
    proposal: Artifact,
    weights: Artifact | None,
    *,
    settings: SelectionSettings,
    precision: Precision = "float32",
    seed: int | None = None,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Judge the proposals and choose exemplars.

    Methods with a network need its `weights` and the selector's tokens. Propagation needs the corrector's tokens,
    which are finer. Random needs a `seed`.

    Writes `errors` f32 (T, K), wrong pixels per mask pixel for error_map and 1 - quality for other methods; `scores`
    f32 (T, K), the softmax over time of the negative errors; `exemplars` bool (T, K); and, for error_map only,
    `error_labels` u8 (T, K, 128, 224): 0 false positive, 1 correct, 2 false negative.
    """
    store = place.open()
    reader = store.open(proposal)
    judge = judge_of(settings.method, weights, seed, proposal, place)
    total, moving = reader.summary["frames"], kinds_of(reader) == MOVING
    with track(total, f"select {place.label}") as advance:
        for part in select_exemplars(
            judge,
            store.open(frames).array("rgb"),
            store.open(tokens).array("tokens"),
            reader.array("masks"),
            t=settings.exemplars,
            limit=settings.limit,
            target=min(settings.limit, PART_LENGTH),
            allowed=moving,
            given=by_hand_of(reader),
            precision=autocast_dtype(precision),
        ):
            out.append("errors", part.errors, ROW_DIMS)
            out.append("scores", part.scores, ROW_DIMS)
            out.append("exemplars", part.exemplars, ROW_DIMS)
            if part.error_labels is not None:
                out.append("error_labels", part.error_labels, MASK_DIMS)
            advance(len(part.errors))
    out.append("moving", moving, ("time",))
    out.summary = {"frames": total, "limit": settings.limit}


def judge_of(
    method: str, weights: Artifact | None, seed: int | None, proposal: Artifact, place: Place
) -> MaskSelector | Judge:
    """Return the judge of the proposals. The random judge depends on the seed and on the proposal's key.

    Raises:
        ValueError: if the method needs a seed or weights and has none.
    """
    if method == "propagation":
        return propagation_judge(device=place.device)
    if method == "random":
        if seed is None:
            raise ValueError("selection.method=random: wanted a seed, got None")
        return random_judge(seed, int(proposal.key, 16))
    if weights is None:
        raise ValueError(f"selection.method={method}: wanted a selector's weights, got None")
    return get_network(place, weights, "selector")
