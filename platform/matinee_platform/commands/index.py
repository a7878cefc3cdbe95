"""`matinee index`: references for the long run, in simulation: tune, table, hindsight."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matinee_platform.commands.data_options import DataOption

if TYPE_CHECKING:
    from matinee_platform.offline.long_run_study import Study

app = typer.Typer(
    help="References for the long run, in simulation: a tuned index, and hindsight.",
    no_args_is_help=True,
)

_Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Data, world, slots and candidates of this."),
]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="Do not tell of progress.")]
_Quick = Annotated[bool, typer.Option("--quick", help="Few users, to see that it works.")]


@app.callback()
def _group() -> None:
    """References for the long run, in simulation: a tuned index, and hindsight."""


@app.command()
def tune(
    config: _Config = None,
    data: DataOption = None,
    overrides: _Set = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where the constants go.")
    ] = Path("frozen_index.json"),
    users: Annotated[int, typer.Option("--users", help="Users per training seed.")] = 1_000,
    days: Annotated[int, typer.Option("--days", help="Days, at least 28.")] = 60,
    generations: Annotated[int, typer.Option("--generations", help="Of the search.")] = 10,
    draws: Annotated[int, typer.Option("--draws", help="Points per generation.")] = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the search.")] = 0,
    quick: _Quick = False,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> None:
    """Tune the index's constants by the cross-entropy method; an interrupted search goes on.

    Example: matinee index tune --data ml-latest-small --out frozen_index.json
    """
    from matinee_platform.offline.long_run_study import tune as tune_study

    if not out.parent.is_dir():
        from matinee_policies.errors import ConfigError

        raise ConfigError(f"--out must name a file in a folder that exists, got {out}")
    if quick:
        users, days, generations, draws = 60, 28, 2, 4
    study = _study(config, data, overrides, quiet)
    found = tune_study(
        study,
        users=users,
        days=days,
        generations=generations,
        draws=draws,
        seed=seed,
        checkpoint=out.with_suffix(".search.json"),
        report=lambda number, generation: _tell(
            f"Generation {number} of {generations}: mean {_numbers(generation['mean'])}, "
            f"sd {_numbers(generation['sd'])}, elite {generation['elite_score']:.3f}",
            quiet,
        ),
    )
    found.save(out)
    if as_json:
        print(out.read_text(encoding="utf-8"), end="")
    else:
        print(
            f"ws {found.satisfaction_weight}, wh {found.satiation_price}, mmr {found.mmr_price}: "
            f"{found.score:.3f} {found.objective} on training seeds; written to {out}"
        )


@app.command()
def table(
    config: _Config = None,
    data: DataOption = None,
    overrides: _Set = None,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="LIST", help="Seeds, comma-separated.")
    ] = "1,2,3,4",
    users: Annotated[int, typer.Option("--users", help="Users per seed.")] = 3_000,
    days: Annotated[int, typer.Option("--days", help="Days.")] = 90,
    quick: _Quick = False,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> None:
    """Compare random, popularity, matrix factorization, MMR, oracles and indices over seeds.

    Example: matinee index table --data ml-latest-small --seeds 1,2,3,4
    """
    from matinee_platform.commands.tradeoff import _seeds
    from matinee_platform.offline.long_run_study import table as study_table

    numbers = _seeds(seeds)
    if quick:
        users, days, numbers = 100, 40, numbers[:2]
    found = study_table(
        _study(config, data, overrides, quiet),
        seeds=numbers,
        users=users,
        days=days,
        report=lambda name: _tell(f"Played {name}", quiet),
    )
    if as_json:
        print(json.dumps(found, indent=2))
        return
    columns = list(next(iter(found["rows"].values())))
    print(f"| ranker | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, figures in found["rows"].items():
        cells = [f"{figures[c]['value']:.3f} ± {figures[c]['error']:.3f}" for c in columns]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\nFrozen index minus click oracle, paired by seed:")
    for name, test in found["tests"].items():
        print(f"  {name}: {test['value']:+.4f} ± {test['error']:.4f}")
    print(f"\n{found['pages_per_second']:,.0f} pages per CPU second")


@app.command(name="hindsight")
def hindsight_bounds(
    config: _Config = None,
    data: DataOption = None,
    overrides: _Set = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the users.")] = 1,
    users: Annotated[int, typer.Option("--users", help="Users, at most 50.")] = 50,
    days: Annotated[int, typer.Option("--days", help="Days.")] = 60,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> None:
    """Random, matrix factorization and the index beside what hindsight could reach.

    Example: matinee index hindsight --users 50
    """
    from matinee_platform.offline.long_run_study import bounds

    found = bounds(_study(config, data, overrides, quiet), seed=seed, users=users, days=days)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    print("| reference | sessions/user |\n|---|---|")
    for name, figure in found["sessions_per_user"].items():
        print(f"| {name} | {figure['value']:.2f} ± {figure['error']:.2f} |")
    print(f"\n{found['lives']:,} lives played")


def _study(
    config: Path | None, data: str | None, overrides: list[str] | None, quiet: bool
) -> "Study":
    from matinee_platform.offline.long_run_study import open_study
    from matinee_platform.settings import key_values, load_settings, parse_settings

    changes = {"path": data} if data else None
    if config is not None:
        settings = load_settings(config, overrides or [], data=changes)
    else:
        arms: list[dict[str, Any]] = [{"name": "mf", "policy": {"kind": "score_order"}}]
        given = {"data": changes} if changes else {}
        settings = parse_settings(
            {"name": "index", "arms": arms, **given, **key_values(overrides or [])}
        )
    _tell("Fitting the world and the platform's view of it", quiet)
    return open_study(settings)


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def _tell(line: str, quiet: bool) -> None:
    if not quiet:
        print(line, file=sys.stderr, flush=True)
