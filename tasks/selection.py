"""Selection: where each proposal is wrong, and which frames can be trusted (paper eq. 2-4)."""

from models.inference import select as select_exemplars
from storage.keys import Artifact
from storage.writer import ArtifactWriter
from tasks.progress import track
from tasks.proposal import MASK_DIMS
from tasks.settings import SelectionSettings
from tasks.stage import Place, stage
from tasks.weights import get_network

ROW_DIMS = ("time", "object")


@stage("selection", version=1)
def select(
    frames: Artifact,
    tokens: Artifact,
    proposal: Artifact,
    weights: Artifact,
    *,
    settings: SelectionSettings,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Judge the proposals and choose exemplars.

    Makes `errors` f32 (T, K), wrong pixels per mask pixel; `scores` f32 (T, K), their softmax over time; `exemplars`
    bool (T, K); and `error_labels` u8 (T, K, 128, 224): 0 false positive, 1 correct, 2 false negative.
    """
    store = place.open()
    reader = store.open(proposal)
    net = get_network(place, weights, "selector")
    total = reader.summary["frames"]
    with track(total, f"select {place.label}") as advance:
        for part in select_exemplars(
            net,
            store.open(frames).array("rgb"),
            store.open(tokens).array("tokens"),
            reader.array("masks"),
            t=settings.exemplars,
            limit=settings.limit,
            target=min(settings.limit, 100),
        ):
            out.append("errors", part.errors, ROW_DIMS)
            out.append("scores", part.scores, ROW_DIMS)
            out.append("exemplars", part.exemplars, ROW_DIMS)
            out.append("error_labels", part.error_labels, MASK_DIMS)
            advance(len(part.errors))
    out.summary = {"frames": total, "limit": settings.limit}
