"""What would another policy have earned on the pages that were logged?

    evaluate("runs/demo:mf_explored", "softer.yaml").headline

values a policy on the log of one arm of a run or of a service; `evaluate_stream` does so for any
other log, once it is a stream of `LoggedBatch`es. What is told is the expected reward of a page at
the logged contexts: never who comes back (`inputs.components`).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from matinee_platform.analysis.inference.effect import check_confidence
from matinee_platform.ope.calibration import CalibrationSums
from matinee_platform.ope.estimator_list import Estimator, chosen
from matinee_platform.ope.evaluation import Evaluation
from matinee_platform.ope.examples import RewardModel
from matinee_platform.ope.inputs.item_genres import clustered
from matinee_platform.ope.inputs.open_log import open_log
from matinee_platform.ope.inputs.policy_log import LogCheck, PolicyLog, examples_of, weighed
from matinee_platform.ope.inputs.target_policy import TargetPolicy, target_policy
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.interval_kinds import check_interval, notes_of_intervals
from matinee_platform.ope.log_sums import LogSums
from matinee_platform.ope.records import LoggedBatch, LoggedStream
from matinee_platform.ope.regression import MODEL_KINDS, fit_reward_model
from matinee_platform.ope.row_columns import Weights
from matinee_platform.ope.valuing import About, Valuation
from matinee_platform.ope.weight_grid import default_grid
from matinee_policies.config import check_range, check_whole
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.policy import Policy

Progress = Callable[[str, int, int], None]
"""Told of a stage, of rows done and of rows there are (0 if unknown)."""

REPLICATES = 400
NO_MODEL = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How values are made.

    Attributes:
        estimators: names, the headline first; None for all that the log allows.
        intervals: kinds (`interval_choice`), the first for every value and others besides.
        confidence: of each interval, within (0, 1).
        reward_model: one of `MODEL_KINDS`, or `"none"`.
        largest_weight: of a slot, known before the log was seen; None for what the laws allow.
        replicates: of the bootstrap, a multiple of 4, at least 100; more are drawn where the
            confidence asks for more (`enough`).
        seed: of the bootstrap.

    Raises:
        ConfigError: on a word or number that is none of these.
    """

    estimators: Sequence[str] | None = None
    intervals: Sequence[str] = ("default",)
    confidence: float = 0.95
    reward_model: str = "ridge"
    largest_weight: float | None = None
    replicates: int = REPLICATES
    seed: int = 0

    def enough(self, values: int) -> "Method":
        """The same, with resamples for percentiles at a level that several values share.

        Twenty are to lie beyond both ends together, so that an end has an error of a third of what
        it leaves.

        Args:
            values: how many hold at once (Bonferroni).
        """
        wanted = 20 * values / (1 - self.confidence)
        least = 4 * math.ceil(wanted / 4 * (1 - 1e-12))
        return replace(self, replicates=max(self.replicates, least))

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_whole("replicates", self.replicates, low=100)
        if self.reward_model not in (*MODEL_KINDS, NO_MODEL):
            known = ", ".join((*MODEL_KINDS, NO_MODEL))
            raise ConfigError(f"reward model must be one of {known}, got {self.reward_model!r}")
        if not self.intervals:
            raise ConfigError("at least one interval must be named, got none")
        for kind in self.intervals:
            check_interval(kind)
        if self.largest_weight is not None:
            check_range("largest weight", self.largest_weight, low=1)


def evaluate(
    log: str | Path | PolicyLog,
    policy: str | Path | Mapping[str, Any] | Policy,
    *,
    arm: str | None = None,
    experiment: str | None = None,
    component: str = "value",
    clusters: str | None = None,
    progress: Progress | None = None,
    **method: Any,
) -> Evaluation:
    """Value a policy on the log of an arm.

    Args:
        log: `RUN:ARM`, the folder of a run or of a service, or an open `PolicyLog`.
        policy: a file with its settings, `RUN:ARM`, a snapshot, settings, or a policy.
        arm: whose log, where `log` does not say and there are several.
        experiment: of a service with several.
        component: of the reward, see `inputs.components`.
        clusters: `"genre"` for MIPS with clusters of the catalogue's items; None for none.
        progress: told how far it is.
        method: fields of `Method`, by name.

    Raises:
        ConfigError: on what is no log, policy, component or setting; of retention with the reason.
        DataError: if the log or a file cannot be read.
        MatineeError: if the policy cannot be restored, or refuses the log's contexts.
    """
    how = Method(**method)
    if isinstance(log, PolicyLog):
        own = clustered(log, clusters)
        return valuation(own, target_policy(policy, own), how, progress=progress).evaluation()
    with open_log(log, arm=arm, experiment=experiment, component=component) as found:
        own = clustered(found, clusters)
        return valuation(own, target_policy(policy, own), how, progress=progress).evaluation()


def evaluate_stream(
    stream: LoggedStream,
    *,
    rewards: RewardRange | None = None,
    policy: str = "policy",
    log: str = "log",
    component: str = "reward",
    model: str = "",
    adaptive: bool = False,
    unmatched: int = 0,
    notes: tuple[str, ...] = (),
    progress: Progress | None = None,
    **method: Any,
) -> Evaluation:
    """Value a policy whose probabilities are in the log already.

    Args:
        stream: of the log under the policy.
        rewards: what a slot can earn, known before the log was seen; 0 to 1 by default.
        policy: its name.
        log: its name.
        component: what the reward is.
        model: kind of the reward model that made predictions; empty without.
        adaptive: whether the policy that logged changed as it did.
        unmatched: rows that were left out for want of a matching propensity.
        notes: what else to say.
        progress: told how far it is.
        method: fields of `Method`, by name; `reward_model` is not read.

    Raises:
        ConfigError: on a setting that is none.
        ContextError: if the log breaks a rule, or has no rows.
    """
    return stream_valuation(
        stream,
        Method(**method),
        rewards=rewards or RewardRange(),
        policy=policy,
        log=log,
        component=component,
        model=model,
        adaptive=adaptive,
        unmatched=unmatched,
        notes=notes,
        progress=progress,
    ).evaluation()


def stream_valuation(
    stream: LoggedStream,
    how: Method,
    *,
    rewards: RewardRange,
    policy: str,
    log: str,
    component: str,
    model: str = "",
    adaptive: bool = False,
    unmatched: int = 0,
    notes: tuple[str, ...] = (),
    draws: CalibrationSums | None = None,
    progress: Progress | None = None,
) -> Valuation:
    """As `evaluate_stream`, to be told or compared; `draws` is what reading the stream fills."""
    said = (*notes, *notes_of_intervals(how.intervals, adaptive=adaptive))
    sums, wanted = _summed(stream(), how, rewards=rewards, adaptive=adaptive, progress=progress)
    about = About(
        policy=policy,
        log=log,
        component=component,
        model=model,
        adaptive=adaptive,
        unmatched=unmatched,
        rescored=None,
        notes=said,
        calibration=None if draws is None else draws.found(),
    )
    return _valuation(sums, wanted, about, how, rewards)


def valuation(
    log: PolicyLog,
    target: TargetPolicy,
    how: Method,
    *,
    model: RewardModel | None = None,
    progress: Progress | None = None,
) -> Valuation:
    """Value a policy on an open log, to be told or compared.

    Args:
        log: of an arm.
        target: the policy.
        how: values are made.
        model: fitted by `reward_model` before; None to fit it now.
        progress: told how far it is.
    """
    check = LogCheck()
    if model is None:
        model = reward_model(log, how, progress=progress)
    batches = weighed(log, target.policy, model=model, check=check)
    sums, wanted = _summed(
        batches,
        how,
        rewards=log.rewards,
        adaptive=log.adaptive,
        shape=(log.slots, model is not None),
        progress=progress,
        total=log.decisions,
    )
    about = About(
        policy=target.name,
        log=log.name,
        component=log.component,
        model="" if model is None else model.kind,
        adaptive=log.adaptive,
        unmatched=check.unmatched,
        rescored={
            "decisions": check.decisions,
            "slots": check.slots,
            "unequal_slots": check.unequal,
            "largest_relative_gap": check.largest_gap,
            "unmatched_decisions": check.unmatched,
            "snapshots": len(check.versions),
        },
        notes=(
            *log.notes,
            *target.notes,
            *notes_of_intervals(how.intervals, adaptive=log.adaptive),
        ),
        in_sample=target.in_sample,
        calibration=check.calibration.found(),
    )
    return _valuation(sums, wanted, about, how, log.rewards)


def reward_model(
    log: PolicyLog, how: Method, *, progress: Progress | None = None
) -> RewardModel | None:
    """The reward model that a method asks for, fitted on a log; None for none."""
    if how.reward_model == NO_MODEL:
        return None

    def examples() -> Iterator[Any]:
        done = 0
        for one in examples_of(log):
            done += len(one)
            if progress is not None:
                progress("reward model", done // log.slots, log.decisions)
            yield one

    return fit_reward_model(how.reward_model, examples, rewards=log.rewards, by_slot=True)


def _summed(
    batches: Iterator[LoggedBatch],
    how: Method,
    *,
    rewards: RewardRange,
    adaptive: bool,
    shape: tuple[int, bool] | None = None,
    progress: Progress | None = None,
    total: int = 0,
) -> tuple[LogSums, tuple[Estimator, ...]]:
    """Sums of one pass, and the estimators they are for."""
    first = next(batches, None)
    if first is None and shape is None:
        raise DataError(Path("log"), rule="must have at least one row, got none")
    slots, model = shape or (0, False)
    how = how.enough(1)
    marginal = False
    if first is not None:
        slots, model = int(first.rewards.shape[1]), first.predicted is not None
        marginal = first.marginal is not None
    wanted = chosen(how.estimators, model=model, slots=slots, marginal=marginal, adaptive=adaptive)
    tamed = {one.base for one in wanted if one.grid}
    families: list[Weights] = ["slot"]
    families += [name for name in _WEIGHTS if any(one.weights == name for one in wanted)]
    empty = partial(
        LogSums.empty,
        families,
        grid=tuple(point for point in default_grid(model=model) if point.name in tamed),
        slots=slots,
        model=model,
        rewards=rewards,
        replicates={name: how.replicates * _resampled(name, wanted, how, adaptive=adaptive)
                    for name in families},
        seed=how.seed,
    )  # fmt: skip
    sums = empty(largest=float("inf") if how.largest_weight is None else how.largest_weight)
    for batch in chain(() if first is None else (first,), batches):
        sums.add(batch)
        if progress is not None:
            progress("weighing", sums.rows, total)
    return sums, wanted


_WEIGHTS: tuple[Weights, ...] = ("marginal", "slate", "cascade")


def _resampled(
    weights: Weights, wanted: Sequence[Estimator], how: Method, *, adaptive: bool
) -> bool:
    """Whether an interval that is asked for needs resamples of this kind of weights."""
    if "bootstrap" in how.intervals:
        return True
    if adaptive or "default" not in how.intervals:
        return False
    own = [one for one in wanted if one.weights == weights]
    return any(not one.interval or weights in ("slate", "cascade") for one in own)


def _valuation(
    sums: LogSums,
    wanted: tuple[Estimator, ...],
    about: About,
    how: Method,
    rewards: RewardRange,
) -> Valuation:
    return Valuation(
        sums,
        about,
        estimators=wanted,
        intervals=how.intervals,
        confidence=how.confidence,
        rewards=rewards,
    )
