"""`matinee tradeoff`: a paired experiment over several seeds, put together with standard errors."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer


def tradeoff(
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="Settings of a paired experiment.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for one run per seed and the plot.")
    ],
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="LIST", help="Seeds, comma-separated.")
    ] = "1,2,3,4",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes; default one per core.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            metavar="FILE",
            help="Markdown page whose trade-off section is replaced; the plot goes beside it.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress line.")] = False,
) -> None:
    """Run every seed, resuming what is there, and print each arm's trade-off with its error.

    Example: matinee tradeoff --config examples/tradeoff.yaml --out runs/tradeoff
    """
    from matinee_platform.analysis.tradeoff import combine
    from matinee_platform.report.tradeoff import (
        markdown_table,
        replace_section,
        save_tradeoff_plot,
    )

    runs = [
        _run_seed(
            config, [*(overrides or []), f"seed={seed}"], out / f"seed-{seed}", workers, quiet
        )
        for seed in _seeds(seeds)
    ]
    estimates = combine(runs)
    control = runs[0]["control"]
    references = frozenset(name for name, arm in runs[0]["arms"].items() if arm["reference"])
    save_tradeoff_plot(estimates, out / "tradeoff.svg", control=control, references=references)
    table = markdown_table(estimates, control=control, references=references)
    (out / "tradeoff.md").write_text(table, encoding="utf-8")
    if results is not None:
        facts = f"{runs[0]['data']}; settings `{config}`, seeds {seeds}."
        replace_section(results, table=table, facts=facts)
        shutil.copyfile(out / "tradeoff.svg", results.with_name("tradeoff.svg"))
    values = {
        arm: {
            metric: {**_without_nan(asdict(found)), "p_value": _number(found.p_value)}
            for metric, found in metrics.items()
        }
        for arm, metrics in estimates.items()
    }
    text = json.dumps(values, indent=2)
    (out / "tradeoff.json").write_text(text + "\n", encoding="utf-8")
    if as_json:
        print(text)
    else:
        print(f"Data: {runs[0]['data']}\n\n{table}")
        print(
            "Brackets: paired difference to control ± standard error over users; *: p < .01, and "
            "beyond two standard errors over seeds"
        )
        print(f"Plot: {out / 'tradeoff.svg'}")


def _run_seed(
    config: Path, overrides: list[str], run: Path, workers: int | None, quiet: bool
) -> dict[str, Any]:
    from matinee_platform.offline.run import default_workers, run_experiment
    from matinee_platform.report.progress import ProgressLine
    from matinee_platform.settings import load_settings
    from matinee_policies.errors import ConfigError

    settings = load_settings(config, overrides)
    if settings.design != "paired":
        raise ConfigError(f"{config}: design must be paired for a trade-off, got 'ab'")
    with ProgressLine(arms=len(settings.arms), days=settings.days, quiet=quiet) as line:
        line.announce(f"Seed {settings.seed}")
        return run_experiment(
            settings,
            run,
            workers=workers if workers is not None else default_workers(),
            resume=True,
            announce=line.announce,
            report=line.report,
        )


def _seeds(text: str) -> list[int]:
    from matinee_policies.errors import ConfigError

    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words) or len({*words}) != len(words):
        raise ConfigError(f"--seeds must be distinct whole numbers, comma-separated, got {text!r}")
    return [int(word) for word in words]


def _without_nan(values: dict[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float) -> float | None:
    return None if value != value else value
