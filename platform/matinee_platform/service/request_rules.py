"""Rules that a schema does not say: limits of this service, fields that go together."""

import re
from collections.abc import Iterable, Sequence

from matinee_platform.service.errors import Fault, InvalidError, TooDeepError
from matinee_platform.service.requests import (
    FEATURE_SIZE,
    DecisionRequest,
    DecisionsRequest,
    RewardRequest,
    RewardsRequest,
)
from matinee_platform.service.settings import Limits

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


def check_decision(request: DecisionRequest, limits: Limits) -> None:
    """Check one decision request.

    Raises:
        InvalidError: naming the field and the rule, never what was sent.
    """
    ids = [request.unit] if request.decision_id is None else [request.unit, request.decision_id]
    candidates = request.candidates
    if candidates is not None:
        if len(set(candidates)) != len(candidates):
            raise _invalid("candidates", "items must be distinct")
        ids += candidates
    elif request.scores is not None or request.features is not None:
        raise _invalid("candidates", "scores and features come with their candidates alone")
    _check_ids(ids, limits)
    if candidates is None:
        return
    if request.scores is not None and len(request.scores) != len(candidates):
        raise _invalid("scores", "there must be as many scores as candidates")
    if request.features is not None:
        _check_features(request.features, count=len(candidates), limits=limits)


def check_decisions(request: DecisionsRequest, limits: Limits) -> None:
    """Check how many decisions are asked for; each is checked by itself."""
    _check_batch("decisions", len(request.decisions), limits)


def check_rewards(request: RewardRequest | RewardsRequest, limits: Limits) -> list[RewardRequest]:
    """Check rewards, and give them as a list."""
    if isinstance(request, RewardRequest):
        rewards = [request]
    else:
        rewards = request.rewards
        _check_batch("rewards", len(rewards), limits)
    for reward in rewards:
        ids = [reward.decision_id] if reward.id is None else [reward.decision_id, reward.id]
        _check_ids(ids, limits)
    return rewards


def check_id(text: str, limits: Limits) -> None:
    """Check an id that came in a path or a field of its own."""
    _check_ids((text,), limits)


def check_depth(body: bytes, limits: Limits) -> None:
    """Refuse a body whose arrays and objects are nested more deeply than allowed.

    No valid body is, so this explains a body that failed already.

    Raises:
        TooDeepError: on a deeper one.
    """
    depth = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > limits.json_depth:
            raise TooDeepError(
                f"arrays and objects must be nested at most {limits.json_depth} deep"
            )


def _check_ids(ids: Iterable[str], limits: Limits) -> None:
    if max(map(len, ids)) > limits.id_chars:
        raise _invalid("ids", f"an id must have at most {limits.id_chars} characters")
    if "\0" in "".join(ids):
        raise _invalid("ids", "an id must not contain NUL")


def _check_features(features: Sequence[Sequence[float]], *, count: int, limits: Limits) -> None:
    if len(features) != count:
        raise _invalid("features", "there must be as many rows of features as candidates")
    widths = set(map(len, features))
    if len(widths) > 1:
        raise _invalid("features", "all rows must have as many features")
    if max(widths) > limits.features:
        raise _invalid("features", f"a row must have at most {limits.features} features")
    size = limits.feature_size
    # The form of the request says the largest that there can be.
    if size < FEATURE_SIZE and (max(map(max, features)) > size or min(map(min, features)) < -size):
        raise _invalid("features", f"a feature must be within -{size:g} and {size:g}")


def _check_batch(field: str, count: int, limits: Limits) -> None:
    if count > limits.batch:
        raise _invalid(field, f"there must be at most {limits.batch} in one request")


def _invalid(where: str, rule: str) -> InvalidError:
    return InvalidError(f"{where}: {rule}", faults=(Fault(where, rule),))
