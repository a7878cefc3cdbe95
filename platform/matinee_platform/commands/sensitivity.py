"""The option `--sensitivity` of commands that run experiments: alone, or with a list."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from typer.core import TyperCommand

if TYPE_CHECKING:
    from matinee_platform.settings import ExperimentSettings

GRID = (0.5, 1.0, 2.0)
"""Sensitivities of a grid without a choice of one's own."""

SENSITIVITY_OPTION = "--sensitivity"

SENSITIVITY_HELP = (
    "Run at each of these retention sensitivities, comma-separated, and say what holds at all of "
    f"them; without a list {', '.join(f'{point:g}' for point in GRID)}."
)


class WithSensitivity(TyperCommand):
    """A command that reads a lone `--sensitivity` as one with the usual grid."""

    def parse_args(self, ctx, args):  # type: ignore[no-untyped-def]  # types of a private module
        """Parse the arguments, with the grid put in."""
        return super().parse_args(ctx, with_grid(args))


def with_grid(arguments: list[str]) -> list[str]:
    """The arguments, in which `--sensitivity` has a value.

    Example:
        >>> with_grid(["boredom", "--sensitivity", "--json"])
        ['boredom', '--sensitivity=0.5,1,2', '--json']
        >>> with_grid(["--sensitivity", "1,4"])
        ['--sensitivity', '1,4']
    """
    usual = ",".join(f"{point:g}" for point in GRID)
    following = [*arguments[1:], "--"]
    return [
        f"{SENSITIVITY_OPTION}={usual}"
        if argument == SENSITIVITY_OPTION and after.startswith("--")
        else argument
        for argument, after in zip(arguments, following, strict=False)
    ]


def run_and_print_grid(
    settings: "ExperimentSettings",
    out: Path,
    *,
    grid: str,
    workers: int | None,
    overwrite: bool,
    resume: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run an experiment over a grid of sensitivities and print what it gives.

    Args:
        settings: of a paired experiment.
        out: folder for the runs.
        grid: sensitivities, comma-separated.
        workers: processes; one per core if None.
        overwrite: whether older runs are replaced.
        resume: whether interrupted runs go on.
        as_json: whether to print JSON.
        quiet: whether to show no progress.
    """
    from matinee_platform.offline.run import default_workers
    from matinee_platform.offline.sensitivity_run import parse_grid, run_grid
    from matinee_platform.report.progress import ProgressLine
    from matinee_platform.report.sensitivity import sensitivity_text

    points = parse_grid(grid)
    with ProgressLine(
        arms=len(settings.arms) * len(points), days=settings.days, quiet=quiet
    ) as line:
        found = run_grid(
            settings,
            out,
            grid=points,
            workers=default_workers() if workers is None else workers,
            overwrite=overwrite,
            resume=resume,
            announce=line.announce,
            report=line.report,
        )
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        print(sensitivity_text(found), end="")
        print(f"Plot: {out / 'sensitivity.svg'}   All numbers: {out / 'sensitivity.json'}")
