"""The largest features that callers may send drive no policy to numbers that it cannot use."""

from typing import Any

import numpy as np
import pytest

from matinee_platform.service.requests import FEATURE_SIZE
from matinee_platform.serving.fallback import is_valid
from matinee_platform.serving.given_features import given_contexts
from matinee_policies.arrays import Float32Array
from matinee_policies.errors import ContextError
from matinee_policies.policy import Policy
from matinee_policies.records import OutcomeBatch, SlateBatch
from matinee_policies.registry import POLICY_KINDS, build_policy

N, K, L, D = 4, 8, 3, 5
BASES = [{"kind": "lin_ucb"}, {"kind": "softmax"}]
CONFIGS: dict[str, dict[str, Any]] = {
    "mixture": {"bases": [{**one, "weight": 0.5} for one in BASES]},
    "corral": {"bases": BASES},
    "lin_ucb": {"alpha": 2.0, "diversity": 0.3},
}


def pages(round_: int) -> Float32Array:
    """Features as odd as they may be, and usual ones among them."""
    rng = np.random.default_rng(round_)
    odd: list[Any] = [
        rng.choice([-FEATURE_SIZE, FEATURE_SIZE], size=(N, K, D)),
        np.full((N, K, D), FEATURE_SIZE),
        rng.uniform(-FEATURE_SIZE, FEATURE_SIZE, (N, K, D)),
        rng.choice([FEATURE_SIZE, 0.0, 1e-30], size=(N, K, D)),
        rng.random((N, K, D)),
    ]
    return np.asarray(odd[round_ % len(odd)], dtype=np.float32)


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_every_slate_is_valid_and_every_state_finite(kind: str) -> None:
    policy = build_policy(kind, CONFIGS.get(kind, {}), dimension=D)
    contexts = given_contexts(policy, dimension=D)
    rng = np.random.default_rng(1)
    rows = np.arange(N * K, dtype=np.int32).reshape(N, K)
    for round_ in range(15):
        features = pages(round_)
        scores = rng.uniform(0.1, 0.9, (N, K)).astype(np.float32)
        context = contexts.build(rows, scores, features)
        keys = rng.integers(0, 2**63, N, dtype=np.uint64)
        slates = policy.decide(context, slots=L, keys=keys)
        assert is_valid(slates, context, slots=L)
        learn(policy, slates, features, day=round_)
        for name, values in policy.snapshot().arrays.items():
            assert values.dtype.kind != "f" or np.isfinite(values).all(), name


def learn(policy: Policy, slates: SlateBatch, features: Float32Array, *, day: int) -> None:
    """What spoils the sums of a policy is refused as a whole, and changes nothing."""
    before = policy.snapshot().content_hash
    outcomes = OutcomeBatch(
        component="engagement",
        first=True,
        features=np.ascontiguousarray(features[np.arange(N)[:, None], slates.positions]),
        rewards=np.random.default_rng(day).random((N, L)),
        shown=np.ones((N, L), dtype=np.bool_),
        propensities=slates.propensities,
        shards=np.zeros(N, dtype=np.uint8),
        items=slates.items,
        days=np.full(N, day, dtype=np.int64),
        base=slates.base,
        base_propensity=slates.base_propensity,
    )
    try:
        policy.learn(outcomes)
    except ContextError:
        assert policy.snapshot().content_hash == before
