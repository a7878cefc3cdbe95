"""S7: estimators equal vw-estimators, and what one would write in numpy, to 1e-9.

Logs are random: few rows, weights of 0, rewards of both signs. What vw-estimators offers and we do
not is its maximum likelihood estimator, the pseudo-inverse of slates and Clopper-Pearson.
"""

import math
from collections.abc import Iterator

import numpy as np
from estimators.bandits import cressieread, cs, gaussian, ips, snips
from estimators.ccb import first_slot, pdis_cressieread
from scipy import special

from matinee_platform.ope.anytime import AnytimeSums
from matinee_platform.ope.cressie_read import cressie_read
from matinee_platform.ope.estimates import estimates
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.row_columns import weights_reference
from matinee_platform.ope.slate_sums import SlateSums
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_platform.ope.testing_logs import make_log
from matinee_platform.ope.weight_grid import GridPoint
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.arrays import FloatArray
from promises import Promise
from stats.effort import Effort

BAR = 1e-9
SLACK = math.sqrt(2) * 1e-9
"""By so much vw-estimators moves an end of Cressie-Read where nothing varies."""

Pair = tuple[str, float, float]
"""Name, ours, theirs."""


def measure(effort: Effort) -> list[Promise]:
    """Largest gap of each estimator over all logs, relative to the larger of the value and 1."""
    gaps: dict[str, float] = {}
    for seed in range(effort.equal_logs):
        for name, ours, theirs in [*beside_vw_estimators(seed), *beside_numpy(seed)]:
            gap = abs(ours - theirs) / max(abs(theirs), 1.0)
            # What is no number is infinitely far.
            gaps[name] = max(gaps.get(name, 0.0), math.inf if math.isnan(gap) else gap)
    return [
        Promise(
            name=f"S7 {name}",
            measured=f"off by {gap:.1e} at most, {effort.equal_logs:,} logs",
            asked=f"at most {BAR:g}",
            kept=gap <= BAR + (SLACK if "Cressie-Read" in name else 0.0),
        )
        for name, gap in gaps.items()
    ]


def beside_vw_estimators(seed: int) -> Iterator[Pair]:
    """Estimators and intervals of one log that both know."""
    rng = np.random.default_rng([7, seed])
    log = make_log(seed, n=int(rng.integers(5, 40)), slots=2, model=False)
    log.rewards[:] = rng.uniform(-1, 2, log.rewards.shape)
    ours = _said(log, EstimatorPlan())
    one, normal, plain, ccb = ips.Estimator(), snips.Estimator(), gaussian.Interval(), _cascade()
    first = first_slot.Estimator(snips.Estimator())
    exact = cressieread.Interval(0, 40.0, -1, 2)
    sequence = cs.Interval(0, 1)
    # Rewards that keep the running mean below 1, where both define the prediction alike.
    small = 0.1 * (log.rewards[:, 0] + 1)
    for row in range(len(log)):
        p, r, q = (some[row].tolist() for some in (log.logged, log.rewards, log.target))
        for some in (one, normal, plain, exact):
            some.add_example(p[0], r[0], q[0])
        first.add_example(p, r, q)
        ccb.add_example(p, r, q)
        sequence.add_example(p[0], float(small[row]), q[0])
    yield "IPS beside vw-estimators", ours["ips", 0], one.get()
    if (theirs := normal.get()) is not None:
        yield "SNIPS beside vw-estimators", ours["snips", 0], theirs
        yield "SNIPS of the first slot beside vw-estimators", ours["snips", 0], first.get()[0]
    low, high = plain.get(alpha=float(2 * special.ndtr(-1.0)))
    yield "standard error of IPS beside vw-estimators", ours["error", 0], (high - low) / 2
    weights, _ = weights_reference(log.logged, log.target, "slot")
    cascade, _ = weights_reference(log.logged, log.target, "cascade")
    range_ = RewardRange(-1, 2)
    mine = cressie_read(
        WeightedSums.of(weights[:, 0], log.rewards[:, 0]), largest=40.0, rewards=range_
    )
    yield from _ends("Cressie-Read beside vw-estimators", mine, exact.get())
    for slot, theirs in enumerate(ccb.get()):
        mine = cressie_read(
            WeightedSums.of(cascade[:, slot], log.rewards[:, slot]),
            largest=40.0 ** (slot + 1),
            rewards=range_,
        )
        yield from _ends("Cressie-Read of a cascade beside vw-estimators", mine, theirs)
    mine = AnytimeSums.none().then(weights[:, 0], small).interval()
    # Its upper end caps predictions otherwise.
    yield "anytime, lower end, beside vw-estimators", mine.low, sequence.get(0.05)[0]


def beside_numpy(seed: int) -> Iterator[Pair]:
    """Estimators of one log, and their closed forms."""
    log = make_log(seed, n=30, slots=3)
    w, r = log.target / log.logged, log.rewards
    q, e = (np.asarray(some, dtype=np.float64) for some in (log.predicted, log.expected))
    down = np.cumprod(w, axis=1)
    above = np.concatenate([np.ones((len(w), 1)), down[:, :-1]], axis=1)
    ours = _said(log, EstimatorPlan())
    yield "DM in numpy", ours["dm", None], float(e.mean(axis=0).sum())
    yield "DR in numpy", ours["dr", None], float((e + w * (r - q)).sum() / len(w))
    if w.sum(axis=0).all():
        rest = (w * (r - q)).sum(axis=0) / w.sum(axis=0)
        yield "SNDR in numpy", ours["sndr", None], float((e.mean(axis=0) + rest).sum())
    slates = SlateSums(buckets="none")
    slates.add(log)
    said = {one.name: _number(one.value) for one in slates.estimates()}
    forms: dict[str, FloatArray] = {
        "standard": down[:, -1:] * r,
        "iips": w * r,
        "rips": down * r,
        "cascade_dr": down * (r - q) + above * e,
    }
    for name, terms in forms.items():
        yield f"{name} in numpy", said[name], float(terms.sum() / len(w))
    under = {"sn_standard": down[:, -1:].mean(axis=0), "sn_rips": down.mean(axis=0)}
    for name, mean in under.items():
        if mean.all():
            theirs = float((forms[name[3:]].mean(axis=0) / mean).sum())
            yield f"{name} in numpy", said[name], theirs
    if down[:, -1].any():
        cascade = (down * (r - q)).mean(axis=0) / down.mean(axis=0)
        cascade += (above * e).mean(axis=0) / above.mean(axis=0)
        yield "sn_cascade_dr in numpy", said["sn_cascade_dr"], float(cascade.sum())
    yield from _tamed(log, seed)


def _tamed(log: LoggedBatch, seed: int) -> Iterator[Pair]:
    """Forms with a hyper-parameter, drawn at random, and MIPS."""
    w, r = log.target / log.logged, log.rewards
    q, e, m = (
        np.asarray(some, dtype=np.float64) for some in (log.predicted, log.expected, log.marginal)
    )
    c = float(np.random.default_rng([8, seed]).uniform(0.05, 0.95))
    tamed = {
        "clipped": np.minimum(w, 10 * c) * r,
        "clipped_dr": e + np.minimum(w, 10 * c) * (r - q),
        "switch_dr": e + w * (w <= 10 * c) * (r - q),
        "dros": e + w * 10 * c / (w**2 + 10 * c) * (r - q),
        "subgaussian": w / (1 - c + c * w) * r,
        "subgaussian_dr": e + w / (1 - c + c * w) * (r - q),
    }
    grid = tuple(GridPoint(name, c if "sub" in name else 10 * c) for name in tamed)
    ours = _said(log, EstimatorPlan("slot", grid))
    for name, terms in tamed.items():
        yield f"{name} in numpy", ours[name, None], float(terms.sum() / len(w))
    yield (
        "MIPS in numpy",
        _said(log, EstimatorPlan("marginal"))["mips", None],
        float((m * r).sum() / len(w)),
    )


def _said(log: LoggedBatch, plan: EstimatorPlan) -> dict[tuple[str, int | None], float]:
    sums = SlotSums(plan)
    sums.add(log)
    found = estimates(sums)
    said = {(one.name, one.slot): _number(one.value) for one in found}
    for one in found:
        if (one.name, one.slot) == ("ips", 0):
            said["error", 0] = _number(one.standard_error)
    return said


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _cascade() -> "pdis_cressieread.Interval":
    return pdis_cressieread.Interval(0, 40.0, -1, 2)


def _ends(name: str, ours: object, theirs: list[float]) -> Iterator[Pair]:
    for end, their in zip(("low", "high"), theirs, strict=True):
        yield name, float(getattr(ours, end)), their
