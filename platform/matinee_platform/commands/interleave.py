"""`matinee interleave`: which of two arms' rankings simulated users prefer on the same pages."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def interleave(
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="Experiment settings in YAML.")
    ],
    arms: Annotated[
        str, typer.Option("--arms", metavar="A,B", help="Two of its arms; one twice is a check.")
    ],
    users: Annotated[
        int | None,
        typer.Option("--users", metavar="N", min=2, help="Users; default those of the experiment."),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=1, help="Days of interleaved pages.")
    ] = 7,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Interleave the rankings of two arms by team draft, and print which one users prefer.

    Finds a difference between rankings with far fewer users than an A/B test, and says nothing of
    retention: whoever prefers one saw the other too.

    Example: matinee interleave --config examples/demo.yaml --arms mf_order,popularity --users 2000
    """
    from matinee_platform.analysis.preference import preference
    from matinee_platform.settings import load_settings
    from matinee_platform.studies import interleaving as study
    from matinee_policies.errors import ConfigError

    names = tuple(name.strip() for name in arms.split(","))
    if len(names) != 2:
        raise ConfigError(f"--arms must name two arms as a,b, got {arms!r}")
    settings = load_settings(config, overrides or [])
    found = study.run(
        settings,
        (names[0], names[1]),
        users=users,
        days=days,
        announce=lambda line: None if quiet else print(line, file=sys.stderr),
    )
    seen = found.pages > 0
    values: dict[str, Any] = {
        "arms": list(found.arms),
        "data": found.data,
        "days": days,
        "users": int(found.pages.size),
        "pages": int(found.pages.sum()),
        "trained": found.trained,
        "warnings": list(found.warnings),
        "clicks": preference(found.clicks[seen]).to_json(),
        "watched": preference(found.watched[seen]).to_json(),
    }
    if as_json:
        print(json.dumps(values, indent=2))
        return
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print("\n".join(_lines(values)))


def _lines(values: dict[str, Any]) -> list[str]:
    first, second = values["arms"]
    lines = [
        f"{first} against {second}, interleaved by team draft: {values['clicks']['units']:,} users "
        f"saw {values['pages']:,} pages in {values['days']} days"
    ]
    for credit in ("clicks", "watched"):
        found = values[credit]
        if found["share"] is None:
            lines.append(f"{credit}: none")
            continue
        lines.append(
            f"{credit}: {found['share']:.1%} go to {first}; preference {found['preference']:+.4f} "
            f"[{found['low']:+.4f}, {found['high']:+.4f}], p = {found['p_value']:.3g}; "
            f"{found['first_wins']:,} users prefer {first}, {found['second_wins']:,} {second}, "
            f"{found['ties']:,} neither (sign test p = {found['sign_p_value']:.3g})"
        )
    return lines
