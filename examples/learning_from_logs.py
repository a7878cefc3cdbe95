"""How near do the estimators come to a regression that saw every candidate's reward?

    python examples/learning_from_logs.py [--logs 40] [--decisions 4000] [--seed 1]

Candidates have three features and a reward that bends in one of them, so that no line fits it and
what a regression finds depends on how candidates are weighed. A law that draws in proportion to
exp(taste * that feature) fills two slots out of six candidates. Printed are, for each estimator,
the mean over logs of the distance of its coefficients from those of the regression on all
candidates that remained, its standard error, and the spread between logs. Half a minute or so.
"""

import argparse

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.linear import RidgeSums, ridge_accumulate, ridge_solve
from matinee_policies.logged_learning import (
    ESTIMATORS,
    LoggedSlates,
    RewardModel,
    WeightTally,
    estimated_outcomes,
    importance_weights,
    remaining_counts,
)

K, L, D = 6, 2, 3
L2 = 1.0
ALL = 1e9


def made_log(rng: np.random.Generator, n: int, *, taste: float) -> tuple[LoggedSlates, FloatArray]:
    """A log of `n` decisions, and the reward of every candidate, `float64 [n, K]`."""
    features = np.ones((n, K, D), dtype=np.float32)
    features[:, :, 1:] = rng.normal(size=(n, K, D - 1))
    bent, straight = (features[:, :, at].astype(np.float64) for at in (1, 2))
    rewards = 0.3 + 0.2 * straight + 0.4 * bent**2 + 0.1 * rng.normal(size=(n, K))
    left = np.ones((n, K), dtype=np.bool_)
    positions, propensities = np.empty((n, L), dtype=np.int32), np.empty((n, L))
    for slot in range(L):
        law = np.where(left, np.exp(taste * bent), 0.0)
        law /= law.sum(axis=1, keepdims=True)
        at = (law.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=K - 1)
        positions[:, slot] = at
        propensities[:, slot] = law[np.arange(n), at]
        left[np.arange(n), at] = False
    slates = LoggedSlates(
        features=features,
        candidates=np.tile(np.arange(K, dtype=np.int32), (n, 1)),
        open=np.ones((n, K), dtype=np.bool_),
        positions=positions,
        chosen=np.ones((n, L), dtype=np.bool_),
        propensities=propensities,
        rewards=np.take_along_axis(rewards, positions, axis=1),
        shards=rng.integers(0, 64, size=n).astype(np.uint8),
        days=np.zeros(n, dtype=np.int64),
    )
    return slates, rewards


def full_information(slates: LoggedSlates, rewards: FloatArray) -> FloatArray:
    """Coefficients of the regression on every candidate that remained at each slot."""
    A, b = L2 * np.eye(D), np.zeros(D)
    left = slates.open.copy()
    x = slates.features.astype(np.float64)
    for slot in range(L):
        share = left / left.sum(axis=1, keepdims=True)
        A += np.einsum("nk,nki,nkj->ij", share, x, x)
        b += np.einsum("nk,nk,nki->i", share, rewards, x)
        left[np.arange(len(slates)), slates.positions[:, slot]] = False
    theta: FloatArray = np.linalg.solve(A, b).astype(np.float64)
    return theta


def learned(slates: LoggedSlates, estimator: str, *, clip: float) -> FloatArray:
    """Coefficients by one estimator."""
    model = None
    if estimator == "dr":
        model = RewardModel(D)
        for outcomes in estimated_outcomes(slates, estimator="mtr", clip=clip):
            model.learn(outcomes)
    sums = RidgeSums.empty(D)
    for outcomes in estimated_outcomes(slates, estimator=estimator, clip=clip, model=model):
        sums = ridge_accumulate(sums, outcomes)
    return ridge_solve(sums, l2=L2).theta


def tell(rng: np.random.Generator, *, taste: float, logs: int, n: int, clip: float) -> None:
    """Print a line for each estimator."""
    gaps: dict[str, list[FloatArray]] = {estimator: [] for estimator in ESTIMATORS}
    tally = WeightTally()
    for _ in range(logs):
        slates, rewards = made_log(rng, n, taste=taste)
        truth = full_information(slates, rewards)
        counts = remaining_counts(slates.open, slates.positions, slates.chosen)
        weights = importance_weights(slates.propensities, counts, slates.chosen)
        tally.add(weights, slates.chosen, clip=clip)
        for estimator, found in gaps.items():
            found.append(learned(slates, estimator, clip=clip) - truth)
    limit = "as they are" if clip == ALL else f"clipped at {clip:g}"
    print(
        f"taste {taste:g}, weights {limit}: {tally.clipped_share:.2%} of the slots; "
        f"mean weight kept {tally.kept_weight:.3f}; effective sample "
        f"{tally.effective / tally.slots:.0%} of the slots"
    )
    for estimator, found in gaps.items():
        draws = np.array(found)
        worst = int(np.abs(draws.mean(axis=0)).argmax())
        error = draws[:, worst].std(ddof=1) / np.sqrt(logs)
        spread = np.sqrt((draws.var(axis=0, ddof=1)).sum())
        print(
            f"  {estimator:6} largest bias {draws[:, worst].mean():+.4f} +- {error:.4f}   "
            f"spread {spread:.4f}"
        )


def main() -> None:
    """Compare on a uniform log, on one that leans, and on one that leans hard, clipped or not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logs", type=int, default=40)
    parser.add_argument("--decisions", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for taste, clip in ((0.0, ALL), (1.0, ALL), (1.0, 5.0), (2.0, ALL), (2.0, 20.0)):
        rng = np.random.default_rng(options.seed)
        tell(rng, taste=taste, logs=options.logs, n=options.decisions, clip=clip)


if __name__ == "__main__":
    main()
