"""Value policies on logs of actions that others wrote.

    log = open_actions("open-bandit", behaviour="random", campaign="men")
    evaluate_actions(log, "bts.csv").headline

Everything that the log needs to be told with it (where its probabilities came from) stands in the
notes of what comes out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from matinee_platform.ope.calibration import CalibrationSums
from matinee_platform.ope.comparison import Comparison, ranked
from matinee_platform.ope.evaluation import Evaluation
from matinee_platform.ope.evaluator import NO_MODEL, Method, Progress, stream_valuation
from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_platform.ope.inputs.cluster_table import read_clusters
from matinee_platform.ope.inputs.item_rewards import fit_item_rewards
from matinee_platform.ope.inputs.obp_arrays import action_dist_law
from matinee_platform.ope.inputs.policy_table import read_policy_table
from matinee_platform.ope.inputs.target_law import TargetLaw, logged_stream, uniform_law
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.valuing import Valuation
from matinee_policies.errors import ConfigError, ContextError, DataError

UNIFORM, COLUMN = "uniform", "column"

FORMS = (
    f"a table of item, position and probability (CSV or Parquet), an .npy file of obp's "
    f"action_dist, {UNIFORM!r}, or {COLUMN!r} for the log's own columns of it"
)

ActionPolicy: TypeAlias = str | Path | TargetLaw | None
"""A policy as one of `FORMS`, a law, or None for the log's own columns."""


def evaluate_actions(
    log: ActionLog,
    policy: ActionPolicy,
    *,
    rewards: RewardRange | None = None,
    name: str = "log",
    component: str = "reward",
    adaptive: bool = False,
    clusters: Path | str | None = None,
    progress: Progress | None = None,
    **method: Any,
) -> Evaluation:
    """Value a policy on a log.

    Args:
        log: of actions.
        policy: one of `FORMS`, or a law.
        rewards: what a slot can earn, known before the log was seen; 0 to 1 by default.
        name: of the log.
        component: what the reward is.
        adaptive: whether the policy that logged learned as it did; its interval then holds at any
            time.
        clusters: table of items and their clusters (`inputs.cluster_table`), for MIPS on logs that
            draw uniformly.
        progress: told how far it is.
        method: fields of `Method`, by name.

    Raises:
        ConfigError: on a setting that is none.
        DataError: if a file cannot be read.
        ContextError: if the log, the law or a reward breaks a rule.
    """
    return _valued(
        log,
        policy,
        Method(**method),
        rewards=rewards,
        name=name,
        component=component,
        adaptive=adaptive,
        clusters=clusters,
        progress=progress,
    ).evaluation()


def compare_actions(
    log: ActionLog,
    policies: Sequence[ActionPolicy],
    how: Method,
    *,
    rewards: RewardRange | None = None,
    name: str = "log",
    component: str = "reward",
    adaptive: bool = False,
    clusters: Path | str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Value policies on one log and rank them; arguments and errors as `evaluate_actions`.

    Raises:
        ConfigError: also without a policy, or with one twice.
    """
    names = [policy_name(one) for one in policies]
    twice = sorted({one for one in names if names.count(one) > 1})
    if not policies or twice:
        got = f"{twice[0]!r} twice" if twice else "none"
        raise ConfigError(f"policies must be given, each once, got {got}")
    found = [
        _valued(
            log,
            one,
            how,
            rewards=rewards,
            name=name,
            component=component,
            adaptive=adaptive,
            clusters=clusters,
            progress=progress,
        )
        for one in policies
    ]
    return Comparison(
        log=name,
        evaluations=tuple(one.evaluation() for one in found),
        ranking=ranked(found, how) if len(found) > 1 else None,
        advice={},
    )


def policy_name(policy: ActionPolicy) -> str:
    """How a policy is called in what comes out."""
    if policy is None:
        return COLUMN
    if isinstance(policy, str | Path):
        return str(policy)
    return getattr(policy, "__name__", "policy")


def action_law(policy: ActionPolicy, log: ActionLog) -> tuple[ActionLog, TargetLaw | None]:
    """The law of a policy on a log, whose items it may add to.

    Raises:
        DataError: if a file cannot be read.
        ConfigError: if it is none of `FORMS`.
    """
    if policy is None or (isinstance(policy, str) and policy == COLUMN):
        return log, None
    if callable(policy):
        return log, policy
    if not isinstance(policy, str | Path):
        raise ConfigError(
            f"policy must be {FORMS}; or a function of a part of the log, which "
            f"obp_arrays.action_dist_law makes of an array, got {type(policy).__name__}"
        )
    if policy == UNIFORM:
        return log, uniform_law(log)
    path = Path(policy)
    if not path.is_file():
        raise ConfigError(f"policy must be {FORMS}, got {str(policy)!r}")
    if path.suffix != ".npy":
        return read_policy_table(path, log)
    try:
        action_dist = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        rule = f"must be an array without pickle ({error})"
        raise DataError(path, rule=rule) from None
    return log, action_dist_law(action_dist, log)


def _valued(
    log: ActionLog,
    policy: ActionPolicy,
    how: Method,
    *,
    rewards: RewardRange | None,
    name: str,
    component: str,
    adaptive: bool,
    clusters: Path | str | None,
    progress: Progress | None,
) -> Valuation:
    possible = rewards or RewardRange()
    try:
        possible.check_holds(*log.rewards)
    except ContextError as error:
        rule = "say what a slot can earn: --rewards LOW,HIGH, or rewards=RewardRange(low, high)"
        raise ContextError(f"{error}; {rule}") from None
    log, law = action_law(policy, log)
    model = "" if law is None or how.reward_model == NO_MODEL else how.reward_model
    items = fit_item_rewards(log, model, rewards=possible) if model else None
    groups = None if clusters is None else read_clusters(clusters, log)
    draws = CalibrationSums()
    return stream_valuation(
        logged_stream(log, law, rewards=items, clusters=groups, draws=draws),
        how,
        rewards=possible,
        policy=policy_name(policy),
        log=name,
        component=component,
        model=model,
        adaptive=adaptive,
        notes=log.flags,
        draws=draws,
        progress=progress,
    )
