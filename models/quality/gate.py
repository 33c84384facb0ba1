"""The gate: decide from label-free measures (models.quality) whether a round is no worse than the one before.

    keep        no measure got worse: the round's models may become champion
    hold        something got worse, or cannot be compared: keep the old champion, let a person look
    roll_back   a collapse or a clear drop: continue from the previous round's weights

Each rule turns a measure's values p (before) and c (now) into one number, how much worse c is:

    rise    c - p                    a share that should not grow
    fall    p - c                    a share that should not shrink
    growth  (c - p) / max(p, FLOOR)  an error, measured against itself
    change  |log2(c / p)|            a size that should neither explode nor vanish; both at least FLOOR
    lack    1 - c                    an agreement with the previous round, which has no p of its own
    leap    c - p                    an agreement that grows by more than a round can teach: networks that have learnt
                                     each other's masks by heart agree on them, right or wrong

and compares it with its two thresholds. The collapses at the end need no comparison.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

FLOOR = 1e-3
EMPTY_COLLAPSE = 0.95  # share of frames without any object
FULL_COLLAPSE = 0.9  # share of the pixels that are foreground
SWAP_COLLAPSE = 0.5  # share of the frames whose objects sit in other channels than in most of their clip
CLIP_SWAPS = 0.25  # the same, for one clip to raise an alarm


class Verdict(StrEnum):
    """The gate's decision about a round."""

    KEEP = "keep"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True)
class Rule:
    """One measure, how its worsening is computed, and the thresholds above which this is more than noise."""

    measure: str
    worsening: Literal["rise", "fall", "growth", "change", "lack", "leap"]
    hold: float  # worse by more than this: hold
    roll_back: float  # worse by more than this: roll back


@dataclass(frozen=True)
class Decision:
    """A verdict with its reasons in words, the most serious first. `keep` has no reasons."""

    verdict: Verdict
    reasons: tuple[str, ...]


RULES = (
    Rule("empty_frames", "rise", hold=0.10, roll_back=0.25),
    Rule("flow_consistency", "fall", hold=0.03, roll_back=0.10),
    Rule("flow_consistency", "leap", hold=0.30, roll_back=0.50),
    Rule("agreement_proposal", "fall", hold=0.10, roll_back=0.30),
    Rule("agreement_proposal", "leap", hold=0.30, roll_back=0.50),
    Rule("agreement_previous", "lack", hold=0.70, roll_back=0.95),
    Rule("exemplar_error", "growth", hold=0.15, roll_back=0.50),
    Rule("frame_error", "growth", hold=0.25, roll_back=1.00),
    Rule("coverage", "change", hold=1.0, roll_back=2.0),
    Rule("identity_switches", "rise", hold=0.05, roll_back=0.20),
    Rule("identity_previous", "lack", hold=0.25, roll_back=0.90),
    Rule("alarmed_clips", "rise", hold=0.10, roll_back=0.30),
)

# Rules between rounds of different runs. A "lack" relates a round to the one before it in the same run, which a round 0
# does not have. A "leap" asks how much a single round can teach. Neither applies there.
RULES_ACROSS_RUNS = tuple(rule for rule in RULES if rule.worsening not in ("lack", "leap"))


def alarms(measures: Mapping[str, float | None]) -> tuple[str, ...]:
    """Describe obvious faults of one clip's masks, in words. Most clips have none.

    The share of clips with an alarm is itself a measure, `alarmed_clips`, since a mean over many clips hides the
    collapse of a few.
    """
    found = []
    for name, limit, words in (
        ("empty_frames", EMPTY_COLLAPSE, "{:.0%} of the frames are without an object"),
        ("coverage", FULL_COLLAPSE, "the foreground fills {:.0%} of the frames"),
        ("identity_switches", CLIP_SWAPS, "objects swap identities for {:.0%} of the frames"),
    ):
        value = measures.get(name)
        if value is not None and value >= limit:
            found.append(words.format(value))
    return tuple(found)


def gate(
    previous: Mapping[str, float], current: Mapping[str, float], rules: Sequence[Rule] = RULES
) -> Decision:
    """Compare a round's measures (averages over the clips) with those of the round before.

    A measure that neither round has is skipped. A measure that only the previous round has is a reason to hold. A
    value that is not finite is a collapse.
    """
    found = list(_collapses(previous, current))
    for rule in rules:
        before, now = previous.get(rule.measure), current.get(rule.measure)
        if now is None:
            if before is not None:
                found.append((Verdict.HOLD, f"{rule.measure} was {before:.3f} and could not be measured now"))
        elif math.isfinite(now) and (before is not None or rule.worsening == "lack"):
            worse = _worsening(rule, before, now)
            if worse > rule.hold:
                back = worse > rule.roll_back
                threshold = rule.roll_back if back else rule.hold
                was = "" if rule.worsening == "lack" else f"{before:.3f} -> "
                reason = (
                    f"{rule.measure} {was}{now:.3f}: {rule.worsening} of {worse:.3f}, more than {threshold:g}"
                )
                found.append((Verdict.ROLL_BACK if back else Verdict.HOLD, reason))
    found = list(dict.fromkeys(found))  # two rules may miss the same measure
    found.sort(key=lambda finding: finding[0] is not Verdict.ROLL_BACK)
    return Decision(found[0][0] if found else Verdict.KEEP, tuple(reason for _, reason in found))


def _worsening(rule: Rule, before: float | None, now: float) -> float:
    if rule.worsening == "lack" or before is None:
        return 1 - now
    if rule.worsening == "change":
        return abs(math.log2(max(now, FLOOR) / max(before, FLOOR)))
    worse = before - now if rule.worsening == "fall" else now - before
    return worse / max(before, FLOOR) if rule.worsening == "growth" else worse


def _collapses(previous: Mapping[str, float], current: Mapping[str, float]) -> list[tuple[Verdict, str]]:
    """Find states that no round may end in. One that existed before is held, since rolling back would not help."""
    found = []
    for name, value in current.items():
        if not math.isfinite(value):
            found.append((Verdict.ROLL_BACK, f"{name} is {value}"))
    for name, limit, words in (
        ("empty_frames", EMPTY_COLLAPSE, "nearly every frame is without an object"),
        ("coverage", FULL_COLLAPSE, "the foreground fills the frame"),
        ("identity_switches", SWAP_COLLAPSE, "objects swap identities along the clips"),
    ):
        if current.get(name, 0.0) >= limit:
            known = previous.get(name, 0.0) >= limit
            also = ", as before" if known else ""
            found.append(
                (Verdict.HOLD if known else Verdict.ROLL_BACK, f"{words}{also} ({name} {current[name]:.3f})")
            )
    return found
