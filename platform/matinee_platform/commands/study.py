"""`matinee study`: experiments about what the platform claims of itself, with their errors."""

import json
import sys
from typing import Annotated, Any

import typer

from matinee_platform.commands.data_options import DataArgument

app = typer.Typer(
    help="Studies: warm starts, forgetting, new items and drift, over several seeds.",
    no_args_is_help=True,
)

Users = Annotated[
    int | None, typer.Option("--users", metavar="N", min=4, help="Simulated users of each seed.")
]
Seeds = Annotated[
    str | None, typer.Option("--seeds", metavar="LIST", help="Seeds, as 1,2,3; a world each.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("warm-start")
def warm_start(
    data: DataArgument = None,
    scenario: Annotated[
        str | None, typer.Option("--scenario", metavar="NAME", help="One scenario alone.")
    ] = None,
    users: Users = None,
    seeds: Seeds = None,
    as_json: AsJson = False,
) -> None:
    """Print what a warm start saves of the regret of an arm's first week.

    Example: matinee study warm-start ml-latest-small --scenario stress
    """
    from matinee_platform.studies import warm_start as study

    changes: dict[str, Any] = {} if scenario is None else {"scenarios": [scenario]}
    savings = study.run(**_options(data, users, seeds), **changes)
    if as_json:
        print(json.dumps(study.to_json(savings), indent=2))
        return
    for saving in savings:
        print(saving.text())


@app.command()
def forgetting(
    data: DataArgument = None,
    world: Annotated[
        str | None, typer.Option("--world", metavar="NAME", help="stress or 'strong stress' alone.")
    ] = None,
    users: Users = None,
    seeds: Seeds = None,
    as_json: AsJson = False,
) -> None:
    """Print what policies that forget gain where the world changes.

    Example: matinee study forgetting ml-latest-small --world 'strong stress'
    """
    from matinee_platform.studies import forgetting as study
    from matinee_policies.errors import ConfigError

    if world is not None and world not in study.WORLDS:
        raise ConfigError(f"--world must be one of {', '.join(study.WORLDS)}, got {world!r}")
    worlds = {name: one for name, one in study.WORLDS.items() if world in (None, name)}
    found = study.run(worlds=worlds, **_options(data, users, seeds))
    if as_json:
        print(json.dumps([one.to_json() for one in found], indent=2))
        return
    for one in found:
        print(one.text())


@app.command("new-items")
def new_items(
    data: DataArgument = None, users: Users = None, seeds: Seeds = None, as_json: AsJson = False
) -> None:
    """Print what a budget of exploration gains where items arrive.

    Example: matinee study new-items ml-latest-small
    """
    from dataclasses import asdict

    from matinee_platform.studies import new_items as study

    found = study.run(**_options(data, users, seeds))
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return
    for one in found:
        print(one.text())


@app.command()
def drift(
    data: DataArgument = None,
    world: Annotated[
        str | None,
        typer.Option("--world", metavar="NAME", help="demo, movielens or stress alone."),
    ] = None,
    users: Users = None,
    seeds: Seeds = None,
    as_json: AsJson = False,
) -> None:
    """Print how often drift is seen where there is none, and how late where there is.

    Example: matinee study drift ml-latest-small --world stress
    """
    from matinee_platform.studies import drift as study
    from matinee_policies.errors import ConfigError

    if world is not None and world not in study.WORLDS:
        raise ConfigError(f"--world must be one of {', '.join(study.WORLDS)}, got {world!r}")
    worlds = study.WORLDS if world is None else (world,)
    found = study.run(worlds=worlds, **_options(data, users, seeds))
    if as_json:
        print(json.dumps(study.to_json(found), indent=2))
        return
    for one in found:
        print(one.text())


def _options(data: str | None, users: int | None, seeds: str | None) -> dict[str, Any]:
    from matinee_platform.data_settings import parse_data
    from matinee_policies.errors import ConfigError

    options: dict[str, Any] = {"announce": lambda line: print(line, file=sys.stderr)}
    if data is not None:
        options["data"] = parse_data({"path": data})
    if users is not None:
        options["users"] = users
    if seeds is not None:
        try:
            options["seeds"] = tuple(int(seed) for seed in seeds.split(","))
        except ValueError:
            raise ConfigError(f"--seeds takes whole numbers as 1,2,3, got {seeds!r}") from None
    return options
