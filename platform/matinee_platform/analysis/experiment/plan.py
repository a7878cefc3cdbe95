"""What an experiment declared, as its analysis takes it: arms, shares, control, end, metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from matinee_platform.analysis_settings import AnalysisSettings, check_metric
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.settings import ExperimentSettings
from matinee_policies.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The declared analysis of one experiment.

    Attributes:
        experiment: its name or key.
        control: arm to compare with.
        weights: declared share of each arm, in their order.
        settings: what decides, and how.
        running: whether units still come in: then one looks again, and tests must allow it.
        horizon_days: declared end in days from the start, None without one.
        cautions: what anyone should know who reads the result, in sentences.
    """

    experiment: str
    control: str
    weights: Mapping[str, float]
    settings: AnalysisSettings
    running: bool
    horizon_days: int | None
    cautions: tuple[str, ...] = ()

    @property
    def treatments(self) -> tuple[str, ...]:
        """Arms that are compared with control."""
        return tuple(name for name in self.weights if name != self.control)

    def ended(self, days: int) -> bool:
        """Whether so many full days reach the declared end."""
        return self.horizon_days is not None and days >= self.horizon_days

    @property
    def metrics(self) -> dict[str, str]:
        """Role of each metric, `primary`, `guardrail` or `other`, by name, in that order."""
        roles = dict.fromkeys(self.settings.primary, "primary")
        roles |= dict.fromkeys(self.settings.guardrails, "guardrail")
        rest = (name for name in self.settings.looked_at if name not in roles)
        return roles | dict.fromkeys(rest, "other")


def plan_of_run(settings: ExperimentSettings) -> Plan:
    """What an offline run declared; its end is its last day unless it names another.

    Raises:
        ConfigError: for a paired run, whose arms do not split the users.
    """
    if settings.design == "paired":
        raise ConfigError(
            "a paired run shows every user to every arm, so there is no split to analyse; its "
            "results.json holds the paired differences (matinee show)"
        )
    learned = [
        arm.name
        for arm in settings.arms
        if arm.warm_start is not None and arm.warm_start.log is not None
    ]
    return Plan(
        experiment=settings.name,
        control=settings.control,
        weights={arm.name: arm.weight for arm in settings.arms},
        settings=settings.analysis,
        running=False,
        horizon_days=settings.analysis.horizon_days or settings.days,
        cautions=(
            "This is a simulation, not your users: what it finds rests on its assumptions.",
            *(f"Arms share data: {name} started from another arm's log." for name in learned),
            *(
                f"{arm.name} is a reference: it knows the simulator's truth, no service could "
                "run it."
                for arm in settings.arms
                if arm.reference
            ),
        ),
    )


def plan_of_live(experiment: LiveExperiment, *, running: bool) -> Plan:
    """What a live experiment declared.

    Args:
        experiment: as created.
        running: whether it lets units in.
    """
    return Plan(
        experiment=experiment.key,
        control=experiment.control,
        weights={arm.name: arm.weight for arm in experiment.arms},
        settings=experiment.analysis,
        running=running,
        horizon_days=experiment.analysis.horizon_days,
        cautions=tuple(
            f"{arm.name} is an apprentice: it shows the order of the candidates, so its figures "
            "are not those of its policy."
            for arm in experiment.arms
            if arm.learning == "apprentice"
        ),
    )


def with_metrics(plan: Plan, names: Sequence[str]) -> Plan:
    """The same plan with more metrics to look at, corrected with the other ones.

    Raises:
        ConfigError: on the name of no metric.
    """
    try:
        for name in names:
            check_metric(name)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    others = dict.fromkeys([*plan.settings.looked_at, *names])
    if not names:
        return plan
    return replace(plan, settings=plan.settings.model_copy(update={"others": tuple(others)}))
