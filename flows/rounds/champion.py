"""Promote a champion: the version whose networks `--from champion` starts from, chosen by the label-free gate."""

from motion_adapt.models.networks.lineage import by_hand_text
from motion_adapt.models.quality.gate import RULES_ACROSS_RUNS, Verdict, gate
from motion_adapt.storage.registry import Registry


def promote_champion(
    registry: Registry, version: int, metrics: dict[str, float], *, pruned: bool, by_hand: int = 0
) -> str:
    """Promote a version unless the gate finds the reigning champion better.

    Args:
        registry: the registered model of the experiment.
        version: the version proposed, of a round that the gate has kept.
        metrics: the label-free metrics of that round.
        pruned: whether the run was a smoke run, which is never promoted: a few frames of a few clips say nothing
            about the rest.
        by_hand: masks by hand that the version learnt from; the outcome mentions them.

    Returns:
        the outcome as a sentence.
    """
    if pruned:
        return f"version {version} is not proposed as champion: --prune left out most of the frames"
    note = f" (with {by_hand_text(by_hand)}: not label-free)" if by_hand else ""
    reigning = registry.champion()
    if reigning is None:
        registry.promote(version)
        return f"version {version}{note} is the first champion"
    number, run_id = reigning
    if number == version:
        return f"version {version}{note} stays champion"
    decision = gate(registry.tracker.get(run_id).data.metrics, metrics, RULES_ACROSS_RUNS)
    if decision.verdict is not Verdict.KEEP:
        return f"version {number} stays champion: {'; '.join(decision.reasons)}"
    registry.promote(version)
    return f"version {version}{note} replaces version {number} as champion"
