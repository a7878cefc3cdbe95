"""`matinee learning-curve`: clicks by what had been seen of an item, or a user, before."""

import json
from pathlib import Path
from typing import Annotated

import typer


def learning_curve(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw it, as PNG or SVG by the name."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Print CTR and share of impressions by earlier impressions of items and sessions of users.

    Example: matinee learning-curve runs/cold_start --plot curve.svg
    """
    from matinee_platform.analysis.interaction_curve import read_interaction_curve
    from matinee_platform.analysis.interaction_plot import save_interaction_plot
    from matinee_platform.json_file import read_json
    from matinee_platform.offline.results import read_results
    from matinee_platform.serving_model import load_serving_model
    from matinee_platform.settings import parse_settings

    read_results(run)
    settings = parse_settings(read_json(run / "settings.json"), origin=str(run / "settings.json"))
    unrated = load_serving_model(run / "model").items.popularity == 0
    curves = {
        arm.name: read_interaction_curve(run, arm.name, days=settings.days, unrated=unrated)
        for arm in settings.arms
    }
    if plot is not None:
        save_interaction_plot(curves, plot)
    if as_json:
        print(json.dumps({name: curve.to_json() for name, curve in curves.items()}, indent=2))
        return
    for name, curve in curves.items():
        print(name)
        for title, classes, what in (
            ("items", curve.items, "impressions"),
            ("items that nobody had rated", curve.new_items, "impressions"),
            ("users", curve.users, "sessions"),
        ):
            for one in classes:
                if one.impressions:
                    left = "" if one.regret != one.regret else f", regret {one.regret:.3f} a page"
                    print(
                        f"  {title} with {one.least:,}+ {what} before: CTR {one.ctr:.4f} +- "
                        f"{one.error:.4f}, {one.share:.1%} of impressions{left}"
                    )
