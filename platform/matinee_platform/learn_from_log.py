"""Train a policy on what another arm logged.

Contexts are rebuilt from the log to the last bit, rewards are joined once all windows have closed,
and an estimator (`matinee_policies.logged_learning`) makes rows of both. The log is read by row
group and twice: first for the weights alone, so that a log too thin to learn from is refused before
the policy has changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.analysis.examination_study import read_examination
from matinee_platform.decision_log import read_parts
from matinee_platform.lessons import can_correct
from matinee_platform.log_schema import matrix
from matinee_platform.logged_contexts import logged_contexts
from matinee_platform.logged_rewards import (
    DayRewards,
    logged_days,
    longest_window,
    read_day_rewards,
)
from matinee_platform.logged_slates import choices, slate_positions
from matinee_platform.pseudonyms import shard_of
from matinee_platform.reward_settings import RewardSettings
from matinee_platform.run_settings import run_settings
from matinee_platform.serving_model import load_serving_model
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray
from matinee_policies.config import check_range
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.features import FEATURE_VERSION, SLOT_FEATURE, slot_feature
from matinee_policies.logged_learning import (
    ESTIMATORS,
    LoggedSlates,
    RewardModel,
    WeightTally,
    estimated_outcomes,
    importance_weights,
    remaining_counts,
)
from matinee_policies.policy import Policy
from matinee_policies.records import PAD
from matinee_policies.weighted_outcomes import takes_weights

ROWS_PER_FEATURE = 10.0
"""Effective impressions that a log must hold for every feature."""

LEAST_KEPT = 0.5
"""Of `ips` and `dr`: least share of the weight that reach and clipping must leave."""


@dataclass(frozen=True, slots=True)
class LearnedFromLog:
    """What a policy learned from a log.

    Attributes:
        arm: whose log.
        estimator: one of `ESTIMATORS`.
        clip: largest weight.
        decisions: learned from.
        pending: decisions left out since a window had not closed when the log ended.
        impressions: shown items learned from.
        clipped_share: share of these whose weight was clipped.
        mean_weight: mean weight before clipping; 1 where the logged law could reach everything.
        kept_weight: mean weight after clipping.
        effective: effective sample size of the weights, in impressions.
        reward: mean reward of an impression, in value units.
    """

    arm: str
    estimator: str
    clip: float
    decisions: int
    pending: int
    impressions: int
    clipped_share: float
    mean_weight: float
    kept_weight: float
    effective: float
    reward: float


def learn_from_log(
    policy: Policy,
    run: Path,
    arm: str,
    *,
    estimator: str = "mtr",
    clip: float = 20.0,
    rewards: RewardSettings | None = None,
) -> LearnedFromLog:
    """Teach a policy from the log of one arm of a finished run.

    Args:
        policy: learns in place; it must be of the log's features.
        run: folder of the run.
        arm: whose log.
        estimator: one of `ESTIMATORS`; `ips`, `dr` and `mtr` need propensities to be exact, and a
            policy that takes weights. Vowpal Wabbit weighs by propensities itself, which is `mtr`,
            and clips by its own `least_propensity`.
        clip: largest weight, above 0; a slot drawn uniformly has weight 1.
        rewards: components and weights in which the policy is to value; those of the run if `None`.
            A position bias that is `estimated` is estimated from this log.

    Returns:
        What was learned. Only decisions whose every weighted component has closed are: their
        components are learned as one sum.

    Raises:
        ConfigError: if the arm, the estimator or the clip is not known, or the policy cannot learn
            so.
        DataError: if the log cannot be read, is of other features, holds no decision that has
            matured, or is too thin to learn from; the policy is then unchanged.
    """
    check_range("clip", clip, low=0, low_open=True)
    log = _Log(run, arm, rewards=rewards)
    _check_policy(policy, estimator=estimator, log=log)
    if not can_correct(policy):
        log.rewards = log.rewards.within(log.rewards.learn_window_days)
    own_weights = policy.name == "vowpal_wabbit" and estimator == "mtr"
    if own_weights:
        clip = 1.0 / (policy.config.least_propensity * policy.config.actions)  # type: ignore[attr-defined]
    days, pending = log.matured_days()
    tally, decisions, impressions = _weigh(log, days, clip=clip)
    dimension = int(getattr(policy, "dimension", 1))
    _check_reach(tally, log, estimator=estimator, needed=ROWS_PER_FEATURE * dimension)
    model = _reward_model(log, days, dimension=dimension, clip=clip) if estimator == "dr" else None
    total = 0.0
    for slates in log.slates(days):
        total += float(slates.rewards[slates.positions != PAD].sum())
        how = "plain" if own_weights else estimator
        for outcomes in estimated_outcomes(slates, estimator=how, clip=clip, model=model):
            policy.learn(outcomes)
    return LearnedFromLog(
        arm=arm,
        estimator=estimator,
        clip=clip,
        decisions=decisions,
        pending=pending,
        impressions=impressions if estimator == "plain" else tally.slots,
        clipped_share=0.0 if estimator == "plain" else tally.clipped_share,
        mean_weight=tally.mean_weight,
        kept_weight=tally.kept_weight,
        effective=float(impressions) if estimator == "plain" else tally.effective,
        reward=total / max(impressions, 1),
    )


class _Log:
    """The log of one arm, as slates to learn from."""

    def __init__(self, run: Path, arm: str, *, rewards: RewardSettings | None) -> None:
        self.run, self.arm = run, arm
        self.settings = run_settings(run)
        names = [one.name for one in self.settings.arms]
        if arm not in names:
            raise ConfigError(f"arm must be one of {', '.join(names)}, got {arm!r}")
        if self.settings.arms[names.index(arm)].reference:
            raise ConfigError(f"arm must not know the truth, {arm!r} is a reference arm")
        self.rewards = rewards if rewards is not None else self.settings.reward
        later, logged = self.rewards.return_visit, self.settings.reward.return_visit
        if later.weight > 0.0 and later.window_days > logged.window_days:
            raise ConfigError(
                f"return_visit.window_days must be at most the {logged.window_days} days within "
                f"which {run} logged visits, got {later.window_days}"
            )
        self._contexts = load_serving_model(run / "model").contexts(arm)
        self._examined: FloatArray | None = None
        self._bias_known = False

    @property
    def folder(self) -> Path:
        """Where the decisions are, to name in an error."""
        return self.run / "decisions" / self.arm

    @property
    def examined(self) -> FloatArray | None:
        """How often each slot is examined; None if learning is not to correct for it."""
        bias = self.rewards.engagement.position_bias
        if not self._bias_known and bias != "none":
            self._examined = (
                _estimated(self.run, self.arm)
                if isinstance(bias, str)
                else np.array(bias, dtype=np.float64)
            )
        self._bias_known = True
        return self._examined

    def matured_days(self) -> tuple[list[int], int]:
        """Days whose windows closed before the log ended, and the decisions of the others."""
        window, end = longest_window(self.rewards), self.settings.days - 1
        days = list(logged_days(self.run, self.arm))
        matured = [day for day in days if day + window <= end]
        if not matured:
            raise DataError(
                self.folder,
                rule=f"must hold a day whose window of {window} days has closed by day {end}",
                value=f"{len(days)} days with decisions",
            )
        pending = sum(
            table.num_rows
            for day in days
            if day + window > end
            for table in read_parts(self.run, "decisions", self.arm, ["decision_id"], day=day)
        )
        return matured, pending

    def slates(self, days: list[int]) -> Iterator[LoggedSlates]:
        """Row group by row group, in the order of the log."""
        for day in days:
            joined: DayRewards | None = None
            for table in read_parts(self.run, "decisions", self.arm, day=day):
                if joined is None:
                    slots = table["slate"].type.list_size
                    joined = read_day_rewards(
                        self.run, self.arm, day=day, slots=slots, rewards=self.rewards
                    )
                yield self._slates(table, joined)

    def choices(self, days: list[int]) -> Iterator[tuple[AnyArray, AnyArray, BoolArray, BoolArray]]:
        """Propensities, positions, chosen slots and open candidates, without features."""
        for day in days:
            for table in read_parts(self.run, "decisions", self.arm, day=day):
                contexts = logged_contexts(table, self._contexts, with_features=False)
                positions = slate_positions(
                    contexts.candidates, matrix(table["slate"]), self.folder
                )
                open_, chosen = choices(contexts, positions)
                yield matrix(table["propensities"]), positions, chosen, open_

    def _slates(self, table: pa.Table, joined: DayRewards) -> LoggedSlates:
        versions = np.unique(table["feature_version"].to_numpy())
        if (versions != FEATURE_VERSION).any():
            raise DataError(
                self.folder,
                rule=f"must be of feature version {FEATURE_VERSION}",
                value=int(versions[versions != FEATURE_VERSION][0]),
            )
        contexts = logged_contexts(table, self._contexts)
        positions = slate_positions(contexts.candidates, matrix(table["slate"]), self.folder)
        open_, chosen = choices(contexts, positions)
        examined = self.examined
        if examined is not None and examined.size < positions.shape[1]:
            raise ConfigError(
                f"position_bias must say how often each of {positions.shape[1]} slots is "
                f"examined, got {examined.size}"
            )
        examined = None if examined is None else examined[: positions.shape[1]]
        return LoggedSlates(
            features=contexts.features,
            candidates=contexts.candidates,
            open=open_,
            positions=positions,
            chosen=chosen,
            propensities=np.ascontiguousarray(matrix(table["propensities"])),
            rewards=joined.total(table["decision_id"].to_numpy(), self.rewards, examined=examined),
            shards=shard_of(table["unit"].to_numpy()),
            days=table["day"].to_numpy().astype(np.int64),
            examined=examined,
            slot_column=SLOT_FEATURE,
            slot_values=slot_feature(positions.shape[1]),
        )


def _estimated(run: Path, arm: str) -> FloatArray:
    """The curve that the log itself tells, by one ratio from the second slot on."""
    found = read_examination(run, [arm]).together
    known = np.array([found.ratio[0], found.persistence])
    errors = np.array([found.ratio_error[0], found.persistence_error])
    # A curve that may be off by a fifth would be worse than none: rewards are divided by it.
    if not (np.isfinite(known).all() and (known > 0).all() and (errors <= 0.2 * known).all()):
        raise DataError(
            run / "decisions" / arm,
            rule="must hold enough exploration to estimate position bias within a fifth; name the "
            "shares of slots, or learn without",
            value=f"ratios {known.tolist()} with errors {errors.tolist()}",
        )
    ratios = np.full(found.ratio.size, found.persistence)
    ratios[0] = found.ratio[0]
    return np.cumprod(np.concatenate([[1.0], np.minimum(ratios, 1.0)]))


def _check_policy(policy: Policy, *, estimator: str, log: _Log) -> None:
    if estimator not in ESTIMATORS:
        raise ConfigError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    if not policy.learns:
        raise ConfigError(f"policy must learn, {policy.name} does not")
    weighs_itself = policy.name == "vowpal_wabbit" and estimator == "mtr"
    if weighs_itself and not getattr(policy.config, "propensity_weighted", True):
        raise ConfigError("propensity_weighted of vowpal_wabbit must be true to learn by mtr")
    if estimator != "plain" and not (weighs_itself or takes_weights(policy)):
        raise ConfigError(f"{policy.name} takes no weights: estimator must be plain")
    if log.rewards.engagement.position_bias != "none" and not takes_weights(policy):
        raise ConfigError(f"{policy.name} takes no weights: position_bias must be none")
    caps = log.settings.arm(log.arm).policy.get("caps")
    if estimator in ("ips", "dr") and caps:
        raise ConfigError(
            f"arm {log.arm!r} caps its slates, so that {estimator} would count what it could not "
            "show as worth nothing: estimator must be plain or mtr"
        )
    config = getattr(policy, "config", None)
    counts = getattr(config, "gamma_exponent", 0.0), getattr(config, "decay_rows", 0.0)
    if estimator in ("ips", "dr") and max(counts) > 0.0:
        raise ConfigError(
            f"{policy.name} explores by the number of impressions learned, and {estimator} learns "
            "rows of candidates that were not shown; take mtr or plain, or a schedule that is even"
        )


def _weigh(log: _Log, days: list[int], *, clip: float) -> tuple[WeightTally, int, int]:
    """Sums over the weights, decisions and impressions."""
    tally, decisions, impressions = WeightTally(), 0, 0
    for propensities, positions, chosen, open_ in log.choices(days):
        remaining = remaining_counts(open_, positions, chosen)
        tally.add(importance_weights(propensities, remaining, chosen), chosen, clip=clip)
        decisions += len(positions)
        impressions += int((positions != PAD).sum())
    return tally, decisions, impressions


def _check_reach(tally: WeightTally, log: _Log, *, estimator: str, needed: float) -> None:
    if estimator == "plain":
        return
    if tally.effective < needed:
        raise DataError(
            log.folder,
            rule=f"must leave an effective sample of {needed:.0f} impressions to learn by "
            f"{estimator}; plain takes no weights",
            value=f"{tally.effective:.0f} of {tally.slots}",
        )
    if estimator in ("ips", "dr") and tally.kept_weight < LEAST_KEPT:
        raise DataError(
            log.folder,
            rule=f"must keep {LEAST_KEPT:.0%} of the weight to learn by {estimator}: the arm "
            f"could reach {min(tally.mean_weight, 1.0):.1%} of the candidates, and the clip cuts "
            f"{tally.clipped_share:.1%} of the impressions",
            value=f"{tally.kept_weight:.1%}",
        )


def _reward_model(log: _Log, days: list[int], *, dimension: int, clip: float) -> RewardModel:
    model = RewardModel(dimension)
    for slates in log.slates(days):
        for outcomes in estimated_outcomes(slates, estimator="mtr", clip=clip):
            model.learn(outcomes)
    return model
