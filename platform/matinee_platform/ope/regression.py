"""Cross-fitted predictions of rewards, for the estimators that need a model.

    model = fit_reward_model("ridge", stream, rewards=RewardRange(0, 1))
    q = model.predict(unit, slots=0, items=items, features=features)

`stream` gives `examples.Examples` (what was shown and what it earned) a bounded part at a time, as
often as it is asked. `predict` takes `[n]` items with `[n, d]` features, which gives `predicted` of
a `LoggedBatch`, or every candidate, `[n, K]` with `[n, K, d]`; with the law of the target over
these, `[n, K]`, `expected` is `(law * q).sum(axis=1)`. An empty slot has 0 for both.

Units are hashed to `folds`; what predicts a unit's reward was fitted on the other folds alone, so
that a doubly robust value stays unbiased whatever the model (Chernozhukov et al. 2018, definition
3.1). There is one model per slot of the page, as attention falls from slot to slot.

| kind | prediction | passes | memory |
|---|---|---|---|
| `ridge` | linear in the features | 1 | folds x slots x (d + 1)^2 |
| `logistic` | logistic in the features, rewards within a range | at most 15 | the same |
| `empirical` | `(sum_a + 100 mean) / (n_a + 100)` of each item | 1 | folds x items |
"""

from typing import Literal, TypeAlias, get_args

from matinee_platform.ope.empirical_model import PRIOR, fit_empirical
from matinee_platform.ope.examples import FOLDS, ExampleStream, RewardModel
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.logistic_model import fit_logistic
from matinee_platform.ope.ridge_model import fit_ridge
from matinee_policies.config import check_range, check_whole
from matinee_policies.errors import ConfigError

ModelKind: TypeAlias = Literal["ridge", "logistic", "empirical"]

MODEL_KINDS: tuple[str, ...] = get_args(ModelKind)


def fit_reward_model(
    kind: str,
    stream: ExampleStream,
    *,
    rewards: RewardRange | None = None,
    folds: int = FOLDS,
    l2: float = 1.0,
    prior: float = PRIOR,
    by_slot: bool = False,
) -> RewardModel:
    """Fit a reward model.

    Args:
        kind: one of `MODEL_KINDS`.
        stream: of the log.
        rewards: range that is possible; predictions stay within. `logistic` needs one, 0 to 1 by
            default.
        folds: that units are hashed to, at least 2.
        l2: weight of the prior that coefficients are 0 (`ridge`, `logistic`), above 0.
        prior: impressions that the mean of all items counts as (`empirical`), above 0.
        by_slot: whether `empirical` keeps the slots of the page apart.

    Raises:
        ConfigError: on an unknown kind or a number out of its range.
        ContextError: if nothing was shown, or examples break a rule.

    Example:
        >>> import numpy as np
        >>> from matinee_platform.ope.examples import Examples
        >>> unit, item = np.arange(4_000, dtype=np.uint64), np.arange(4_000) % 2
        >>> ones = np.zeros(4_000, dtype=np.int64)
        >>> log = Examples(unit, item * 0.5, ones, item, np.zeros((4_000, 0)))
        >>> model = fit_reward_model("empirical", lambda: iter([log]))
        >>> model.predict(unit[:2], slots=0, items=item[:2], features=log.features[:2]).round(2)
        array([0.01, 0.49])
    """
    if kind not in MODEL_KINDS:
        raise ConfigError(f"reward model must be one of {', '.join(MODEL_KINDS)}, got {kind!r}")
    check_whole("folds", folds, low=2)
    check_range("l2", l2, low=0, low_open=True)
    check_range("prior", prior, low=0, low_open=True)
    if kind == "ridge":
        return fit_ridge(stream, folds=folds, l2=l2, rewards=rewards)
    if kind == "logistic":
        return fit_logistic(stream, folds=folds, l2=l2, rewards=rewards or RewardRange())
    return fit_empirical(stream, folds=folds, prior=prior, by_slot=by_slot, rewards=rewards)
