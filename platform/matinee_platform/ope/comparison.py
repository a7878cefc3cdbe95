"""Several policies on the log of one arm: each valued, and all ranked together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.ope.evaluation import Evaluation, plain_json
from matinee_platform.ope.evaluator import Method, Progress, reward_model, valuation
from matinee_platform.ope.inputs.policy_log import PolicyLog
from matinee_platform.ope.inputs.target_policy import target_policy
from matinee_platform.ope.promotion import Advice, advise
from matinee_platform.ope.selection import Ranking, rank_by_draws, rank_by_intervals
from matinee_platform.ope.valuing import Valuation
from matinee_policies.errors import ConfigError
from matinee_policies.policy import Policy

AnyPolicy = str | Path | Mapping[str, Any] | Policy


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a log says of several policies.

    Attributes:
        log: its name.
        evaluations: of each policy, in the order in which they were given.
        ranking: of all by lower bounds that hold together; None for a single one.
        advice: on each policy's next step of a ramp, by name; none unless it was asked for.
    """

    log: str
    evaluations: tuple[Evaluation, ...]
    ranking: Ranking | None
    advice: Mapping[str, Advice]

    @property
    def told(self) -> bool:
        """Whether the log can tell the value of any of them."""
        return any(one.headline.value is not None for one in self.evaluations)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        ranking = None
        if self.ranking is not None:
            ranking = {**asdict(self.ranking), "words": self.ranking.words()}
        document = {
            "log": self.log,
            "policies": [one.to_json() for one in self.evaluations],
            "ranking": ranking,
            "advice": {
                name: {**asdict(one), "action": one.action, "words": one.words()}
                for name, one in self.advice.items()
            },
        }
        found: dict[str, Any] = plain_json(document)
        return found


def compare(
    log: PolicyLog,
    policies: Sequence[AnyPolicy],
    how: Method,
    *,
    progress: Progress | None = None,
) -> Comparison:
    """Value policies on one log, with one reward model, and rank them.

    Args:
        log: of an arm.
        policies: one or more, with different names.
        how: values are made.
        progress: told how far it is.

    Raises:
        ConfigError: without a policy, or with one twice; and as `evaluate`.
    """
    valuations = _valued(log, policies, how, progress)
    return Comparison(
        log=log.name,
        evaluations=tuple(one.evaluation() for one in valuations),
        ranking=ranked(valuations, how) if len(valuations) > 1 else None,
        advice={},
    )


def advise_on(
    log: PolicyLog,
    policies: Sequence[AnyPolicy],
    how: Method,
    *,
    guardrails: Mapping[str, Mapping[str, Any]],
    now: Mapping[str, float],
    budget: float,
    progress: Progress | None = None,
) -> Comparison:
    """As `compare`, with the step of a ramp that each policy may take.

    The bound is that of the difference from what the logging policy earned on the same pages; with
    several policies each is widened so that all hold together.

    Args:
        log: of the arm that runs now.
        policies: candidates.
        how: values are made.
        guardrails: of each policy, by name; those that no experiment told of have none.
        now: share of the units that each policy has, by name; 0 if it does not run.
        budget: largest loss of all traffic, as a share of the value of what runs now.
        progress: told how far it is.

    Raises:
        ConfigError: as `compare`.
    """
    # The bound of each policy is at the level that all share.
    valuations = _valued(log, policies, how.enough(max(len(policies), 1)), progress)
    each = 1 - (1 - how.confidence) / len(valuations)
    advice = {}
    evaluations = [one.evaluation() for one in valuations]
    for one, told in zip(valuations, evaluations, strict=True):
        difference = one.difference(each)
        advice[told.policy] = advise(
            verdict=one.headline_verdict,
            effective_share=_share(told, one),
            difference=difference.interval,
            no_difference=difference.reason,
            in_sample=told.in_sample,
            current_value=0.0 if told.current is None else told.current.value,
            guardrails=guardrails.get(told.policy, {}),
            now=now.get(told.policy, 0.0),
            budget=budget,
        )
    ranking = ranked(valuations, how) if len(valuations) > 1 else None
    return Comparison(log.name, tuple(evaluations), ranking, advice)


def _share(told: Evaluation, one: Valuation) -> float:
    share = told.weighing(one.headline.weights).effective_share
    return 0.0 if np.isnan(share) else share


def _valued(
    log: PolicyLog, policies: Sequence[AnyPolicy], how: Method, progress: Progress | None
) -> list[Valuation]:
    if not policies:
        raise ConfigError("at least one policy must be given, got none")
    # All are found before the log is read once.
    targets = [target_policy(one, log) for one in policies]
    names = [one.name for one in targets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"policies need different names, got {twice[0]!r} twice")
    model = reward_model(log, how, progress=progress)
    return [valuation(log, one, how, model=model, progress=progress) for one in targets]


def ranked(valuations: Sequence[Valuation], how: Method) -> Ranking:
    """Several valuations by lower bounds that hold together.

    By shared resamples where the interval of each is the bootstrap's: tails of single ones that are
    widened for the number of policies would rest on a handful of resamples.
    """
    candidates = [one.candidate() for one in valuations]
    told = [not one.verdict.is_refused for one in candidates]
    shown = [one for one, is_told in zip(valuations, told, strict=True) if is_told]
    drawn = [one.draws() if one.resampled else None for one in shown]
    kept = [one for one in drawn if one is not None]
    values = np.array([one.value for one in candidates])
    if not kept or len(kept) < len(shown) or np.isnan(values[told]).any():
        return rank_by_intervals(candidates, confidence=how.confidence)
    draws = np.full((len(kept[0]), len(candidates)), np.nan)
    draws[:, told] = np.stack(kept, axis=1)
    return rank_by_draws(
        [one.name for one in candidates],
        values,
        draws,
        verdicts=[one.verdict for one in candidates],
        confidence=how.confidence,
    )
