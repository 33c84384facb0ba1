"""Score an adaptation on clips with labels: J and F after every step, by both single-object protocols.

    python benchmarks/results.py DAVIS --out DIR [--flow raft_large C_T_SKHT_V1] [--seeds 0 1 2] [--per-clip] [--crf]

This runs `motion-adapt adapt` once for each seed, with a shared store, saves the numbers of each run in OUT and prints
a table of each round in Markdown. A run whose numbers are in OUT is not repeated; other options need another OUT.
`matched` chooses, once per clip, the object that fits the annotation best, like the papers' figures on DAVIS 2016.
`union` combines all objects; it is the only figure available without labels.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# rows of a round's table: name, and the stage of the round that is scored
STEPS = (
    ("proposals of the round before, by the adapted corrector", "adapted"),
    ("proposals", "proposal"),
    ("corrected", "corrected"),
    ("+ per clip", "per_clip"),
    ("+ smoothed along the flow", "smoothed"),
    ("+ second opinion", "second_opinion"),
    ("+ clip network", "clip_network"),
    ("+ edges", "edges"),
    ("final masks", "final"),
)
COLUMNS = ("J_matched", "F_matched", "J", "F")
RAFT_SIZE, RAFT_UPDATES = (256, 448), 12


def overrides(given: argparse.Namespace) -> list[str]:
    """Return the `--set` options of the runs."""
    fields = []
    if given.flow:
        name, weights = given.flow
        fields += [f"flow.estimator={name}", f"flow.weights={weights}", f"flow.updates={RAFT_UPDATES}"]
        fields += [f"flow.resolution={list(RAFT_SIZE)}"]
    fields += ["per_clip.enabled=true"] if given.per_clip else []
    fields += ["crf.enabled=true"] if given.crf else []
    fields += given.set  # these come last, and so may change those above
    return [word for field in fields for word in ("--set", field)]


def deciding(given: argparse.Namespace, seed: int) -> list[str]:
    """Return the options that decide the numbers of a run."""
    words = ["--set", f"seed={seed}", "--rounds", str(given.rounds)]
    words += ["--weights", str(given.weights)] if given.weights else []
    words += ["--clips", ",".join(given.clips)] if given.clips else []
    return [*words, *overrides(given)]


def adapt(given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Return the numbers of one run, running it if necessary."""
    file, beside = given.out / f"seed-{seed}.json", given.out / f"seed-{seed}.options"
    asked = shlex.join([str(given.data), *deciding(given, seed)])
    # a file of an earlier version has no options beside it
    if file.exists() and beside.exists() and (had := beside.read_text(encoding="utf-8")) != asked:
        raise SystemExit(f"{file} has the numbers of\n  {had}\nand not of\n  {asked}\nName another --out.")
    if not file.exists():
        given.out.mkdir(parents=True, exist_ok=True)
        command = [str(Path(sys.executable).with_name("motion-adapt")), "adapt", str(given.data)]
        command += [
            "--store",
            str(given.store),
            "--tracking-uri",
            f"sqlite:///{given.out.resolve()}/mlflow.db",
        ]
        command += ["--output", str(given.out / f"seed-{seed}"), "--json", str(file)]
        command += ["--threads", str(given.threads)] if given.threads else []
        beside.write_text(asked, encoding="utf-8")
        subprocess.run([*command, *deciding(given, seed)], check=True)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def cell(values: Sequence[float | None]) -> str:
    """Format the mean of a figure over the runs, in percent, with its standard deviation if there are several."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return ""
    spread = f" ± {np.std(known, ddof=1):.1f}" if len(known) > 1 else ""
    return f"{np.mean(known):.1f}{spread}"


def table(runs: Sequence[dict[str, Any]], index: int) -> list[str]:
    """Return the rows of a round in Markdown."""
    heads = ["J matched", "F matched", "J union", "F union"]
    lines = [f"| round {index} | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    metrics = [run["rounds"][index]["metrics"] for run in runs]
    for name, stage in STEPS:
        cells = [cell([m.get(f"{stage}/{column}") for m in metrics]) for column in COLUMNS]
        if any(cells):
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def clip_table(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Return a table of J of every clip's final masks in the round that its run kept, averaged over the runs."""
    lines = ["| clip | J matched | J union |", "|---|---|---|"]
    for clip in sorted(runs[0]["clips"]):
        values = [run["clips"][clip] for run in runs if clip in run["clips"]]
        lines.append(
            f"| {clip} | " + " | ".join(cell([v.get(c) for v in values]) for c in ("J_matched", "J")) + " |"
        )
    return lines


def notes(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Return the notes below the tables."""
    lines = ["final masks by clip: of round " + ", ".join(str(run["final"]["round"]) for run in runs)]
    for index in range(len(runs[0]["rounds"])):
        metrics = [run["rounds"][index]["metrics"] for run in runs]
        lines.append(f"round {index}: selection AP {cell([m.get('selection/AP') for m in metrics])}, gate "
                     + ", ".join(run["rounds"][index]["decision"] for run in runs))  # fmt: skip
    costs = runs[0]["rounds"][0]["metrics"]
    seconds = {n.partition("/")[2]: v for n, v in costs.items() if n.startswith("seconds_per_frame/")}
    lines.append("seconds per frame: " + ", ".join(f"{name} {value:.3f}" for name, value in seconds.items()))
    lines += [f"{name}: {told}" for name, told in runs[0]["provenance"].items()]
    return lines


def main() -> None:
    """Run the missing adaptations and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="a data set in DAVIS layout")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the numbers and masks of the runs"
    )
    parser.add_argument("--weights", type=Path, help="start weights; default: the bundled ones")
    parser.add_argument("--store", type=Path, default=Path("motion-adapt/store"))
    parser.add_argument("--flow", nargs=2, metavar=("ESTIMATOR", "WEIGHTS"), help="default: DIS")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rounds", type=int, default=1, help="0: without adaptation")
    parser.add_argument("--per-clip", action="store_true", help="adapt to each clip as well")
    parser.add_argument("--crf", action="store_true", help="final masks by CRF")
    parser.add_argument("--clips", nargs="+", help="default: all")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="FIELD=VALUE", help="other settings"
    )
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    runs = [adapt(given, seed) for seed in given.seeds]
    lines = [line for index in range(len(runs[0]["rounds"])) for line in (*table(runs, index), "")]
    print("\n".join([*lines, *clip_table(runs), "", *(f"- {note}" for note in notes(runs))]))


if __name__ == "__main__":
    main()
