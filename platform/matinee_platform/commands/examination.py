"""`matinee examination`: how often each slot of a slate is looked at, by a run's log."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from matinee_platform.examination import Examination


def examination(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    arms: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="NAME", help="Take this arm's log; repeatable. Default all."),
    ] = None,
    sample: Annotated[
        int,
        typer.Option("--sample", metavar="N", min=1, help="Decisions of each arm to re-score."),
    ] = 100_000,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the curve; FILE ends in .png or .svg."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Estimate position bias: how often each slot is examined, from what exploration swapped.

    Example: matinee examination runs/demo --plot examination.png
    """
    from matinee_platform.analysis.examination_plot import save_examination_plot
    from matinee_platform.analysis.examination_study import read_examination
    from matinee_policies.errors import ConfigError

    if plot is not None and (plot.suffix not in (".png", ".svg") or not plot.parent.is_dir()):
        raise ConfigError(f"--plot must name a .png or .svg in a folder that exists, got {plot}")
    study = read_examination(run, arms, sample=sample)
    if plot is not None:
        save_examination_plot(study.together, plot, title="How far down users look")
    if as_json:
        found = {name: _numbers(one) for name, one in study.arms.items()}
        print(json.dumps({"together": _numbers(study.together), "arms": found}, indent=2))
        return
    _print(study.together)
    for name, one in study.arms.items():
        told = (
            "nothing: it does not explore"
            if math.isnan(one.persistence)
            else f"{one.persistence:.4f} +- {one.persistence_error:.4f} a slot"
        )
        print(f"{name}: {told} ({one.pages:,} slates of {one.units:,} units)")


def _print(found: "Examination") -> None:
    print(" slot  examined  standard error")
    for slot, (share, error) in enumerate(zip(found.curve, found.curve_error, strict=True), 1):
        print(f"{slot:5}  {share:8.4f}  {error:14.4f}")
    print(
        f"From the second slot on it falls by {found.persistence:.4f} "
        f"+- {found.persistence_error:.4f} a slot "
        f"({found.pages:,} slates of {found.units:,} units)."
    )


def _numbers(found: "Examination") -> dict[str, Any]:
    return {
        "curve": _plain(found.curve.tolist()),
        "curve_error": _plain(found.curve_error.tolist()),
        "ratio": _plain(found.ratio.tolist()),
        "ratio_error": _plain(found.ratio_error.tolist()),
        "persistence": _plain([found.persistence])[0],
        "persistence_error": _plain([found.persistence_error])[0],
        "pages": found.pages,
        "units": found.units,
    }


def _plain(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
