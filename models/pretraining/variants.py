"""The paper's ablations as constructor arguments. A checkpoint stores them, so that it is loaded as the same variant.

A default adds nothing to the constructor arguments of a size (models/networks/sizes.py).
"""

from typing import Any

from motion_adapt.models.networks.sizes import PRETRAINING, SIZES, STEP_SIZES
from motion_adapt.models.training.episodes import EXEMPLARS

SELECTORS = ("error_map", "score")  # Table 3
CORRECTORS = ("attention", "alpha", "dense")  # Table 5
BACKGROUND: int = PRETRAINING["background"]  # Table 8


def selector_arguments(method: str = "error_map") -> dict[str, Any]:
    """Return the arguments of `MaskSelector` that determine what it predicts: "error_map" or "score"."""
    if method not in SELECTORS:
        raise ValueError(f"selector: wanted one of {', '.join(SELECTORS)}, got {method!r}")
    return {} if method == "error_map" else {"head": method}


def corrector_arguments(maps: str = "attention", background: int = BACKGROUND) -> dict[str, Any]:
    """Return the arguments of a corrector that determine what its UNet decodes and its number of background queries.

    A dense corrector has no background queries, whatever `background` is.
    """
    if maps not in CORRECTORS:
        raise ValueError(f"corrector: wanted one of {', '.join(CORRECTORS)}, got {maps!r}")
    arguments: dict[str, Any] = {} if maps == "attention" else {"maps": maps}
    if maps != "dense" and background != BACKGROUND:
        arguments["num_background"] = background
    return arguments


def oclr_arguments(residual: bool = False) -> dict[str, Any]:
    """Return the arguments of `OCLR` that determine what it sees: the flow alone, or its `residual` too."""
    return {"residual": True} if residual else {}


def shapes(
    size: str,
    *,
    selector: str,
    corrector: str,
    background: int,
    window: int | None,
    exemplars: int,
    exemplars_by: str,
    batch: int | None = None,
    frames: int | None = None,
    residual: bool = False,
) -> dict[str, dict[str, Any]]:
    """Return, by network, its constructor arguments ("network") and the data of a step of its training ("sees").

    Args:
        size: a key of `SIZES`.
        selector: a name of `SELECTORS`.
        corrector: a name of `CORRECTORS`.
        background: background queries of the corrector.
        window: target frames of a corrector's step; None for that of the size.
        exemplars: maximum number of exemplars per object.
        exemplars_by: how the corrector's exemplars are chosen.
        batch: clips in a step of OCLR, selector and corrector; None for that of the size.
        frames: maximum length of OCLR's clips; None for that of the size.
        residual: whether OCLR also sees the flow without the camera's motion.
    """
    networks, sees = dict(SIZES[size]), dict[str, dict[str, Any]](STEP_SIZES[size])
    networks["oclr"] = networks["oclr"] | oclr_arguments(residual)
    networks["selector"] = networks["selector"] | selector_arguments(selector)
    networks["corrector"] = networks["corrector"] | corrector_arguments(corrector, background)
    if corrector == "dense":  # only the other correctors have a prior
        networks["corrector"].pop("prior", None)
    episodes = episode_arguments(sees["corrector"], window=window, exemplars=exemplars)
    sees["corrector"] = episodes | {"exemplars_by": exemplars_by}
    if frames is not None:
        sees["oclr"] = sees["oclr"] | {"frames": frames}
    if batch is not None:
        for model in ("oclr", "selector", "corrector"):
            sees[model] = sees[model] | {"batch": batch}
    return {model: {"network": networks[model], "sees": sees[model]} for model in networks}


def episode_arguments(
    step: dict[str, int], *, window: int | None = None, exemplars: int = EXEMPLARS
) -> dict[str, Any]:
    """Change the data of a corrector's step (models/networks/sizes.py).

    Clips are lengthened if necessary, so that they fit a window other than the size's, and a target frame in addition
    to exemplars other than the default. The default lengthens no clips: those of `compact` have 8 frames, fewer than
    its 10 exemplars, so that at most 8 are learnt from.

    Args:
        step: data of a step of a size.
        window: target frames (Table 6); None for no change.
        exemplars: maximum number of exemplars per object (Table 7).
    """
    changed: dict[str, Any] = dict(step)
    if window is not None:
        changed |= {"window": window, "frames": max(step["frames"], window)}
    if exemplars != EXEMPLARS:
        changed |= {"exemplars": exemplars, "frames": max(changed["frames"], exemplars + 1)}
    return changed
