"""Everything that a report says, read from the folder of a run."""

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.analysis.arm_look import ArmLook, arm_looks
from matinee_platform.analysis.experiment.of_run import ANALYSIS
from matinee_platform.analysis.exposure import read_exposure
from matinee_platform.analysis.learning_curve import (
    LearningCurve,
    ratio_by_unit,
    read_learning_curve,
)
from matinee_platform.analysis.logged_sample import LoggedSample, last_policy, read_sample
from matinee_platform.analysis.overlap import Overlap, predict_overlap
from matinee_platform.analysis.propensity_diagnostics import (
    PropensityDiagnostics,
    read_propensities,
)
from matinee_platform.analysis.regret import RegretCurve, read_regret
from matinee_platform.analysis.retention import RetentionCurve, retention_curve
from matinee_platform.analysis.slate_examples import ArmPolicy, ExamplePage, slate_examples
from matinee_platform.analysis.unit_table import read_unit_table
from matinee_platform.serving_model import ServingModel, load_serving_model
from matinee_platform.settings import ArmSettings, ExperimentSettings, parse_settings
from matinee_policies.arrays import Int64Array
from matinee_policies.catalogue import Catalogue
from matinee_policies.errors import DataError

_WINDOWS = 12
_RESCORED = 60_000
"""Decisions re-scored for the overlap of all pairs of arms together: about 3 s."""

_SAMPLE = (200, 5_000)
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class ArmFacts:
    """One arm.

    Attributes:
        number: place among the arms.
        settings: of the arm.
        look: in every chart.
        results: its entry in `results.json`.
        curve: retention by day after exposure.
        engagement: mean per user and half-width of its 95 % interval.
        learning: by window of days.
        counts: impressions of each item, `int64 [M]`.
        propensities: as logged.
        regret: to the oracle's page, None if the run noted none.
    """

    number: int
    settings: ArmSettings
    look: ArmLook
    results: dict[str, Any]
    curve: RetentionCurve
    engagement: tuple[float, float]
    learning: LearningCurve
    counts: Int64Array
    propensities: PropensityDiagnostics
    regret: RegretCurve | None

    @property
    def name(self) -> str:
        """Name of the arm."""
        return self.settings.name


@dataclass(frozen=True, slots=True)
class Facts:
    """A run.

    Attributes:
        settings: of the experiment.
        results: content of `results.json`.
        versions: content of `versions.json`.
        catalogue: of the run.
        window: days pooled in curves over days.
        arms: in the order of the settings.
        overlaps: by (logging arm, valued arm); a text where there is no answer.
        examples: pages with the slate of every arm.
        analysis: content of `analysis.json`, None if the run has none.
    """

    settings: ExperimentSettings
    results: dict[str, Any]
    versions: dict[str, str]
    catalogue: Catalogue
    window: int
    arms: tuple[ArmFacts, ...]
    overlaps: dict[tuple[str, str], Overlap | str]
    examples: list[ExamplePage]
    analysis: dict[str, Any] | None = None


def read_facts(run: Path, results: dict[str, Any]) -> Facts:
    """Read a run, an arm at a time.

    Args:
        run: its folder.
        results: content of its `results.json`.

    Raises:
        DataError: if a file of the run is missing or damaged.
    """
    settings = parse_settings(_read_json(run / "settings.json"), origin=str(run / "settings.json"))
    model = load_serving_model(run / "model")
    window = max(1, round(settings.days / _WINDOWS))
    looks = arm_looks([arm.name for arm in settings.arms], control=settings.control)
    arms = tuple(
        _read_arm(
            run,
            settings.days,
            arm,
            number=number,
            look=looks[arm.name],
            results=results["arms"][arm.name],
            items=len(model.catalogue),
            window=window,
        )
        for number, arm in enumerate(settings.arms)
    )
    overlaps, examples = _rescore(run, settings, model)
    return Facts(
        settings=settings,
        results=results,
        versions=_read_json(run / "versions.json"),
        catalogue=model.catalogue,
        window=window,
        arms=arms,
        overlaps=overlaps,
        examples=examples,
        analysis=_read_json(run / ANALYSIS) if (run / ANALYSIS).is_file() else None,
    )


def _read_arm(
    run: Path,
    days: int,
    arm: ArmSettings,
    *,
    number: int,
    look: ArmLook,
    results: dict[str, Any],
    items: int,
    window: int,
) -> ArmFacts:
    table = read_unit_table(run, arm.name, days=days)
    return ArmFacts(
        number=number,
        settings=arm,
        look=look,
        results=results,
        curve=retention_curve(table),
        engagement=ratio_by_unit(table.engagement, np.ones(len(table))),
        learning=read_learning_curve(run, arm.name, days=days, window=window),
        counts=read_exposure(run, arm.name, items=items),
        propensities=read_propensities(run, arm.name),
        regret=read_regret(run, arm.name, days=days, window=window),
    )


def _rescore(
    run: Path, settings: ExperimentSettings, model: ServingModel
) -> tuple[dict[tuple[str, str], Overlap | str], list[ExamplePage]]:
    """Let every arm's final policy re-score pages that the others logged."""
    size = int(np.clip(_RESCORED // len(settings.arms) ** 2, *_SAMPLE))
    policies = [
        ArmPolicy(
            arm.name,
            arm.candidates,
            None if arm.reference else last_policy(run, arm.name, config=arm.policy),
            model.contexts(arm.name),
        )
        for arm in settings.arms
    ]
    overlaps: dict[tuple[str, str], Overlap | str] = {}
    examples: list[ExamplePage] = []
    for logging in settings.arms:
        sample = read_sample(run, logging.name, contexts=model.contexts(logging.name), size=size)
        for valued in policies:
            pair = (logging.name, valued.name)
            same_rules = settings.rules_of(logging) == settings.rules_of(settings.arm(valued.name))
            overlaps[pair] = _overlap(sample, logging, valued, same_rules=same_rules)
        if logging.name == settings.control and sample is not None and not logging.reference:
            examples = slate_examples(
                sample,
                policies,
                source=logging.candidates,
                sources={n: one for n, one in model.sources.items() if n not in model.own},
                count=_EXAMPLES,
            )
    return overlaps, examples


def _overlap(
    sample: LoggedSample | None, logging: ArmSettings, valued: ArmPolicy, *, same_rules: bool
) -> Overlap | str:
    if sample is None:
        return "nothing logged"
    if logging.reference or valued.policy is None:
        return "reference"
    if logging.candidates != valued.source or not same_rules:
        return "other candidates"
    return predict_overlap(sample, valued.policy)


def pairs(facts: Facts) -> list[tuple[str, str]]:
    """Ordered pairs of different arms."""
    names = [arm.name for arm in facts.arms]
    return [(one, other) for one, other in product(names, names) if one != other]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(path, rule=f"must be readable ({error.strerror})") from None
    except ValueError as error:
        raise DataError(path, rule=f"must be JSON ({error})") from None
    if not isinstance(content, dict):
        raise DataError(path, rule="must hold a mapping")
    return content
