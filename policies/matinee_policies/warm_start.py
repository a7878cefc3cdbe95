"""What a new policy may start from: the evidence of another's snapshot, or a prior mean.

Both give a snapshot of the new policy, with its own settings. Policies over ridge regression take
over sums, not solutions: with the donor's A and b apart from its prior, a share c in (0, 1] of it,
and the new policy's own prior l2 I,

    A_0 = l2 I + c (A - l2' I)      b_0 = c b      theta_0 = A_0^-1 b_0

so that c = 1 goes on as the donor would, and c -> 0 starts anew. A prior mean theta_0 with the
weight s of so many observations along every axis, on top of the prior, is

    A_0 = (l2 + s) I      b_0 = A_0 theta_0

(ridge regression about a mean: Bishop 2006, "Pattern Recognition and Machine Learning", eqs. 3.50
and 3.51). Both are kept as pseudo-observations in the sums, so that a snapshot is what it always
is, and learning goes on as ever.

In policies that forget, evidence counts as of day 0 of the new run and fades from there: days of
another run mean nothing in it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.config import check_range
from matinee_policies.discounted import DiscountedSums, discounted_solve
from matinee_policies.discounted_lin_ucb import DiscountedLinUCB
from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.forgetting import NO_DAY
from matinee_policies.linear import RidgeSums, ridge_solve
from matinee_policies.linear_policy import LinearPolicy
from matinee_policies.policy import Policy
from matinee_policies.sliding_window import WindowSums, window_solve
from matinee_policies.sliding_window_lin_ucb import SlidingWindowLinUCB
from matinee_policies.snapshot import Snapshot

_SUMS = ("gram", "moments", "item_cross", "item_moments")
_COUNTERS = ("rows", "later_rows")
_FORGETTING = (DiscountedLinUCB, SlidingWindowLinUCB)


def inherit(policy: Policy, donor: Snapshot, *, discount: float = 1.0) -> Snapshot:
    """The first state of a policy that starts from the evidence of another of its kind.

    Policies over ridge regression may differ from the donor in every setting but those that shape
    the sums: `form` and `item_features`. Other kinds must have the donor's settings.

    Args:
        policy: new, with its settings.
        donor: of the same kind and dimension.
        discount: share of the evidence that is taken over, in (0, 1]; below 1 for policies over
            ridge regression only.

    Raises:
        ConfigError: if the policy does not learn, or knows no discount, or one out of range.
        SnapshotError: if the donor is of another kind, dimension or shape, or damaged.
    """
    check_range("discount", discount, low=0, low_open=True, high=1)
    _check_learns(policy)
    own = policy.snapshot()
    if donor.kind != own.kind:
        raise SnapshotError(f"snapshot must be of kind {own.kind!r}, got {donor.kind!r}")
    if donor.version != own.version:
        raise SnapshotError(
            f"snapshot of {donor.kind!r} must have version {own.version}, got {donor.version!r}"
        )
    _check_same(donor, own, "dimension")
    if isinstance(policy, LinearPolicy):
        _check_same(donor, own, "form", "item_features")
        type(policy).from_snapshot(donor)
        return _linear_state(policy, own, donor, share=discount)
    if isinstance(policy, DiscountedLinUCB):
        return _discounted_state(policy, own, donor, share=discount)
    if isinstance(policy, SlidingWindowLinUCB):
        return _window_state(policy, own, donor, share=discount)
    if discount < 1.0:
        raise ConfigError(
            f"discount must be 1 for {own.kind}, whose state is no sum of evidence, "
            f"got {discount:g}"
        )
    if donor.manifest.get("config") != own.manifest.get("config"):
        raise SnapshotError(
            f"snapshot of {donor.kind!r} must have the settings {own.manifest.get('config')}, "
            f"got {donor.manifest.get('config')}"
        )
    return donor


def with_prior_mean(policy: Policy, mean: FloatArray, *, strength: float = 0.0) -> Snapshot:
    """The first state of a policy whose coefficients have another prior mean than 0.

    Before anything is learned its coefficients are `mean`; they move as data come in, the less the
    larger `l2 + strength` is.

    Args:
        policy: new; over ridge regression with coefficients that all candidates share.
        mean: of the coefficients, `float64 [d]`, finite.
        strength: observations along every axis that the mean weighs on top of `l2`, at least 0.

    Raises:
        ConfigError: if the policy has no such coefficients, or a number breaks a rule.
    """
    check_range("strength", strength, low=0)
    _check_learns(policy)
    shared = isinstance(policy, _FORGETTING) or (
        isinstance(policy, LinearPolicy) and policy.config.to_json()["form"] != "disjoint"
    )
    if not shared:
        raise ConfigError(
            f"a prior mean needs coefficients that all candidates share (form shared or hybrid of "
            f"a policy over ridge regression), got {policy.name}"
        )
    own = policy.snapshot()
    d = int(own.manifest["dimension"])
    if mean.shape != (d,) or not np.isfinite(mean).all():
        raise ConfigError(f"mean must be {d} finite numbers, got {mean}")
    l2 = float(own.manifest["config"]["l2"])
    pull = (l2 + strength) * mean
    arrays = {name: array.copy() for name, array in own.arrays.items()}
    if isinstance(policy, DiscountedLinUCB):
        arrays["gram"][:, 0] += strength * np.eye(d)
        arrays["moments"][0, 0] += pull
        arrays["days"][0, 0] = 0
        return _solved_discounted(policy, own, arrays, rows=0)
    arrays["gram"][0] += strength * np.eye(d)
    arrays["moments"][0, 0] += pull
    if isinstance(policy, SlidingWindowLinUCB):
        arrays["days"][0] = 0
        return _solved_window(policy, own, arrays, rows=0)
    return _solved_linear(own, arrays, counters={})


def _check_learns(policy: Policy) -> None:
    if not policy.learns:
        raise ConfigError(f"{policy.name} learns nothing, so it has nothing to start from")


def _check_same(donor: Snapshot, own: Snapshot, *names: str) -> None:
    """Refuse a donor that differs in a counter of the manifest or a setting."""
    for name in names:
        found, wanted = (
            state.manifest.get(name, (state.manifest.get("config") or {}).get(name))
            for state in (donor, own)
        )
        if found != wanted:
            raise SnapshotError(
                f"snapshot of {donor.kind!r} must have {name} {wanted}, got {found}"
            )


def _linear_state(
    policy: LinearPolicy[Any], own: Snapshot, donor: Snapshot, *, share: float
) -> Snapshot:
    arrays = {
        name: array * share if name in _SUMS else array for name, array in donor.arrays.items()
    }
    if "item_counts" in arrays:
        arrays["item_counts"] = np.rint(arrays["item_counts"] * share).astype(np.int64)
    counters = {name: round(share * int(donor.manifest.get(name, 0))) for name in _COUNTERS}
    return _solved_linear(own, arrays, counters=counters)


def _solved_linear(
    own: Snapshot, arrays: Mapping[str, AnyArray], *, counters: Mapping[str, int]
) -> Snapshot:
    """The state of these sums under the settings of `own`; of items it is restored from sums."""
    solved = {}
    if "inverse" in own.arrays:
        sums = RidgeSums(arrays["gram"], arrays["moments"], counters.get("rows", 0))
        state = ridge_solve(sums, l2=float(own.manifest["config"]["l2"]))
        solved = {"inverse": state.inverse, "theta": state.theta}
    return Snapshot(
        kind=own.kind,
        version=own.version,
        arrays={**arrays, **solved},
        manifest={**own.manifest, **counters},
    )


def _discounted_state(
    policy: DiscountedLinUCB, own: Snapshot, donor: Snapshot, *, share: float
) -> Snapshot:
    """All shards brought up to the donor's newest day, which becomes day 0.

    Evidence counts as a share of the rows, so both matrices get it once: V~, too, is a sum over
    rows, and fewer rows have wider bounds.
    """
    gamma = DiscountedLinUCB.from_snapshot(donor).config.gamma
    days = donor.arrays["days"]
    age = np.where(days == NO_DAY, 0, int(donor.manifest["newest_day"]) - days)
    fade = gamma ** age.astype(np.float64)
    arrays = {
        "gram": share
        * np.stack([fade[0] ** power for power in (1, 2)])[:, :, None, None]
        * donor.arrays["gram"],
        "moments": share * fade[:, :, None] * donor.arrays["moments"],
        "days": np.where(days == NO_DAY, NO_DAY, 0),
    }
    rows = round(share * int(donor.manifest["rows"]))
    return _solved_discounted(policy, own, arrays, rows=rows)


def _solved_discounted(
    policy: DiscountedLinUCB, own: Snapshot, arrays: Mapping[str, AnyArray], *, rows: int
) -> Snapshot:
    newest = int(arrays["days"].max())
    sums = DiscountedSums(arrays["gram"], arrays["moments"], arrays["days"], newest, rows)
    state = discounted_solve(sums, gamma=policy.config.gamma, l2=policy.config.l2)
    return Snapshot(
        kind=own.kind,
        version=own.version,
        arrays={**arrays, "spread": state.inverse, "theta": state.theta},
        manifest={**own.manifest, "newest_day": newest, "rows": rows},
    )


def _window_state(
    policy: SlidingWindowLinUCB, own: Snapshot, donor: Snapshot, *, share: float
) -> Snapshot:
    """All days of the donor's window, whose sum becomes day 0; it leaves the window as one day."""
    SlidingWindowLinUCB.from_snapshot(donor)
    arrays = {name: own.arrays[name].copy() for name in ("gram", "moments", "days")}
    for place in np.argsort(donor.arrays["days"], kind="stable"):
        if donor.arrays["days"][place] != NO_DAY:
            arrays["gram"][0] += share * donor.arrays["gram"][place]
            arrays["moments"][:, 0] += share * donor.arrays["moments"][:, place]
            arrays["days"][0] = 0
    rows = round(share * int(donor.manifest["rows"]))
    return _solved_window(policy, own, arrays, rows=rows)


def _solved_window(
    policy: SlidingWindowLinUCB, own: Snapshot, arrays: Mapping[str, AnyArray], *, rows: int
) -> Snapshot:
    newest = int(arrays["days"].max())
    sums = WindowSums(arrays["gram"], arrays["moments"], arrays["days"], newest, rows, 0)
    state = window_solve(sums, l2=policy.config.l2)
    return Snapshot(
        kind=own.kind,
        version=own.version,
        arrays={**arrays, "inverse": state.inverse, "theta": state.theta},
        manifest={**own.manifest, "newest_day": newest, "rows": rows, "expired": 0},
    )
