"""Synthesise: write synthetic clips with exact labels as a data set, in as many processes as there are workers.

    for each number from 0:   a clip with frames, visible and amodal masks, exact flow
    ImageSets                 the list of clips, for `--split synthetic`

If started again, it resumes where it stopped; with a larger number of clips, it adds to those that exist.
"""

import time
from pathlib import Path

from prefect import flow

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.errors import RunError, reason
from motion_adapt.flows.run.runners import DEFAULT_RUNNER
from motion_adapt.storage.atomic import whole_file
from motion_adapt.storage.results.synthetic_set import write_list
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.synthesis import SyntheticSet, synthesise_clip

RECORD = "synthetic.json"  # the settings of a folder's clips
SPLIT = "synthetic"


@flow(name="synthesise", task_runner=DEFAULT_RUNNER)
def synthesise(folder: str, clips: int, what: SyntheticSet = SyntheticSet(), threads: int = 1) -> Report:
    """Write `clips` synthetic clips to `folder`.

    Args:
        folder: a new folder, or one with clips of the same settings.
        clips: number of clips that the folder shall have.
        what: settings of the clips.
        threads: threads per clip.
    """
    began = time.monotonic()
    root = Path(folder)
    claim(root, what)
    with track(clips, "synthesise") as advance:
        futures = [synthesise_clip.submit(str(root.resolve()), i, what, threads) for i in range(clips)]
        names = []
        for future in futures:
            made = future.result(raise_on_failure=False)
            if not isinstance(made, str):
                raise RunError(f"clip {len(names)}: {reason(made)}") from made
            names.append(made)
            advance(1)
    write_list(root, SPLIT, names)
    report = Report("synthesise", folder)
    report.output = folder
    seconds = time.monotonic() - began
    report.final = {"clips": clips, "frames_per_second": clips * what.frames / seconds}
    report.seconds["total"] = seconds
    return report


def claim(root: Path, what: SyntheticSet) -> None:
    """Record the settings of a folder's clips, or check that they are the ones recorded.

    Raises:
        RunError: if they differ, if the folder holds other files, or if a folder of pictures cannot be used.
    """
    try:
        what.supply()
    except ValueError as error:
        raise RunError(str(error)) from error
    record, wanted = root / RECORD, what.model_dump_json(indent=1) + "\n"
    if record.exists():
        if record.read_text(encoding="utf-8") != wanted:
            raise RunError(f"{root} holds clips with other settings, see {record}; name another folder")
        return
    if root.exists() and any(root.iterdir()):
        raise RunError(f"{root} holds files other than synthetic clips; name another folder")
    with whole_file(record) as partial:
        partial.write_text(wanted, encoding="utf-8")
