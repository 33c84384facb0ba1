"""The paper's ablations as constructor arguments: what a checkpoint stores, so that it is loaded as what it is.

A default adds nothing to the constructor arguments of a size (models/networks/sizes.py).
"""

from typing import Any

from motion_adapt.models.networks.sizes import PRETRAINING, SIZES, STEP_SIZES
from motion_adapt.models.training.episodes import EXEMPLARS

SELECTORS = ("error_map", "score")  # Table 3
CORRECTORS = ("attention", "alpha", "dense")  # Table 5
BACKGROUND: int = PRETRAINING["background"]  # Table 8


def selector_arguments(method: str = "error_map") -> dict[str, Any]:
    """Of `models.networks.selector.MaskSelector`: what it predicts of a mask."""
    if method not in SELECTORS:
        raise ValueError(f"selector: wanted one of {', '.join(SELECTORS)}, got {method!r}")
    return {} if method == "error_map" else {"head": method}


def corrector_arguments(maps: str = "attention", background: int = BACKGROUND) -> dict[str, Any]:
    """Of a corrector: what its UNet decodes, and how many background queries it has (dense: none, whatever is said)."""
    if maps not in CORRECTORS:
        raise ValueError(f"corrector: wanted one of {', '.join(CORRECTORS)}, got {maps!r}")
    arguments: dict[str, Any] = {} if maps == "attention" else {"maps": maps}
    if maps != "dense" and background != BACKGROUND:
        arguments["num_background"] = background
    return arguments


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
) -> dict[str, dict[str, Any]]:
    """By network: its constructor arguments (`network`) and what a step of its training `sees`.

    batch: clips of a step of OCLR, selector and corrector; frames: of OCLR's clips at most; None: those of the size.
    """
    networks, sees = dict(SIZES[size]), dict[str, dict[str, Any]](STEP_SIZES[size])
    networks["selector"] = networks["selector"] | selector_arguments(selector)
    networks["corrector"] = networks["corrector"] | corrector_arguments(corrector, background)
    if corrector == "dense":  # the prior is the other correctors' alone
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
    """What a corrector's step sees (models/networks/sizes.py), with other target frames (Table 6) and exemplars
    (Table 7).

    A clip is long enough for the window and for as many exemplars beside a target frame.
    """
    changed: dict[str, Any] = dict(step)
    if window is not None:
        changed |= {"window": window, "frames": max(step["frames"], window)}
    if exemplars != EXEMPLARS:
        changed |= {"exemplars": exemplars, "frames": max(changed["frames"], exemplars + 1)}
    return changed
