"""Export the log of a finished run as dsjson, for Vowpal Wabbit and what reads its logs.

    FOLDER/ARM/part-00000.json    and so on, a file for each day of the log

A cost is minus the engagement of the slot, which is known at the end of its day. Pages that the
policy did not choose are left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from matinee_platform.dsjson import LoggedPages, cb_lines, ccb_lines
from matinee_platform.json_file import read_json
from matinee_platform.log_export import Exported, check_target
from matinee_platform.logged_pages import run_pages
from matinee_platform.part_writer import PART_SUFFIX
from matinee_platform.serving_model import load_serving_model
from matinee_platform.settings import parse_settings

FORMS: Mapping[str, Callable[[LoggedPages], Iterator[str]]] = {
    "dsjson-cb": cb_lines,
    "dsjson-ccb": ccb_lines,
}
"""The forms by name."""

_PAGES_AT_ONCE = 1_024


def export_dsjson(
    run: Path, arms: Sequence[str], out: Path, *, form: str, report: Callable[[str], None]
) -> Exported:
    """Write each day of a log as a file of events.

    Args:
        run: folder of the run.
        arms: names of its arms.
        out: folder to write, which must be empty or not be there.
        form: one of `FORMS`.
        report: told of each arm that is written.

    Raises:
        ConfigError: if the folder holds anything.
        DataError: if a part cannot be read.
    """
    check_target(out)
    settings = parse_settings(read_json(run / "settings.json"), origin=str(run / "settings.json"))
    model = load_serving_model(run / "model")
    rows, files, size = 0, 0, 0
    for arm in arms:
        report(arm)
        for part in sorted((run / "decisions" / arm).glob(f"part-*{PART_SUFFIX}")):
            target = out / arm / f"{part.stem}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            with partial.open("w", encoding="utf-8", newline="\n") as file:
                for pages in run_pages(run, arm, part, model, settings.reward.engagement):
                    for line in FORMS[form](pages):
                        file.write(f"{line}\n")
                        rows += 1
            partial.replace(target)
            files, size = files + 1, size + target.stat().st_size
    return Exported(files, {form: rows}, size)
