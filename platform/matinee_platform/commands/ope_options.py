"""Options that `matinee ope` and `matinee promote` share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from matinee_platform.ope.evaluator import Method, Progress
    from matinee_platform.service.settings import ServiceSettings

LogArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="LOG",
        help="RUN:ARM, folder of a run, or data folder of a service (or --config).",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings of a service, in YAML."),
]
PolicyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="POLICY",
        help="FILE with kind and settings, RUN:ARM, RUN:ARM@VERSION, or a snapshot; repeatable.",
    ),
]
ExperimentOption = Annotated[
    str | None,
    typer.Option("--experiment", metavar="KEY", help="Of a service with several."),
]
EstimatorsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--estimators",
        metavar="NAMES",
        help="Comma-separated, the first decides; all that the log allows unless told.",
    ),
]
IntervalOption = Annotated[
    list[str] | None,
    typer.Option(
        "--interval",
        metavar="KIND",
        help="default, cressie_read, empirical_bernstein, bootstrap or anytime; repeatable.",
    ),
]
ModelOption = Annotated[
    str,
    typer.Option("--reward-model", metavar="KIND", help="ridge, logistic, empirical or none."),
]
ConfidenceOption = Annotated[
    float, typer.Option("--confidence", metavar="SHARE", help="Of each interval.")
]
ComponentOption = Annotated[
    str,
    typer.Option(
        "--component",
        metavar="NAME",
        help="value (all, as learning weighs them), engagement, click, watch, rating, "
        "return_visit.",
    ),
]
LargestOption = Annotated[
    float | None,
    typer.Option(
        "--largest-weight",
        metavar="W",
        help="Of a slot, known beforehand; what the laws allow unless told.",
    ),
]


def method_of(
    estimators: list[str] | None,
    intervals: list[str] | None,
    *,
    reward_model: str,
    confidence: float,
    largest_weight: float | None,
) -> "Method":
    """The method that options name."""
    from matinee_platform.ope.evaluator import Method

    names = [name for text in estimators or [] for name in text.split(",") if name]
    return Method(
        estimators=names or None,
        intervals=tuple(intervals or ("default",)),
        reward_model=reward_model,
        confidence=confidence,
        largest_weight=largest_weight,
    )


def the_log(log: str | None, config: Path | None) -> "str | ServiceSettings":
    """The log that is meant.

    Raises:
        ConfigError: without either or with both.
    """
    from matinee_platform.service.settings_file import load_service_settings
    from matinee_policies.errors import ConfigError

    if (log is None) == (config is None):
        raise ConfigError("give a log, or the settings of a service: --config FILE")
    return load_service_settings(config) if config is not None else str(log)


@contextmanager
def progress_bar() -> "Iterator[Progress | None]":
    """Tells how far reading is, on a terminal's standard error; None elsewhere."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Bar(console=console, transient=True) as bar:
        stages: dict[str, Any] = {}

        def told(stage: str, done: int, total: int) -> None:
            task = stages.get(stage)
            if task is None or bar.tasks[task].finished:
                stages[stage] = task = bar.add_task(stage, total=total or None)
            bar.update(task, completed=done)

        yield told
