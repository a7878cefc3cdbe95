"""Terms of pages as weighted rewards: equal to the estimators, bounded, and covered."""

from dataclasses import replace

import numpy as np
import pytest

from matinee_platform.ope.cressie_read import cressie_read
from matinee_platform.ope.estimates import estimates
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.page_terms import PageTerms
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_platform.ope.testing_logs import make_log, parts_of

RANGE = RewardRange(-0.25, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_terms_are_the_estimates_and_keep_to_their_bounds(seed: int) -> None:
    log = make_log(seed, n=700)
    rng = np.random.default_rng(seed)
    names = ("rewards", "predicted", "expected")
    drawn = {name: rng.choice([-0.25, 0.0, 1.0], log.rewards.shape) for name in names}
    log = replace(log, **drawn)
    terms = PageTerms(RANGE, slots=3, cascade=True, largest=np.inf)
    for part in parts_of(log, [100, 250]):
        terms.add(part)
    mean = log.rewards.sum(axis=1).mean()
    for weights, names_of in (("slot", ("ips", "dr")), ("cascade", ("ips", "dr"))):
        sums = SlotSums(EstimatorPlan(weights))  # type: ignore[arg-type]
        sums.add(log)
        for base in names_of:
            (value,) = [e.value for e in estimates(sums) if e.name == base and e.slot is None]
            name = base if weights == "slot" else {"ips": "rips", "dr": "cascade_dr"}[base]
            found = terms.differences[name]
            assert found.sums is not None
            assert value is not None
            assert float(found.sums.value) == pytest.approx(value - mean, abs=1e-12)
            found.sums.check(found.rewards, np.inf)
            if weights == "cascade":
                own = terms.values[name]
                assert own.sums is not None
                assert float(own.sums.value) == pytest.approx(value, abs=1e-12)
                own.sums.check(own.rewards, np.inf)
                # What is added at a time must not know later rows, as predictions do.
                assert (own.anytime is None) == (name == "cascade_dr")
                assert own.anytime is None or float(own.anytime.gain) > 0


def test_intervals_of_differences_cover_and_are_of_the_same_pages() -> None:
    """Two slots of two items whose law is known; the policies differ little, pages a lot."""
    rng = np.random.default_rng(3)
    covered, widths = 0, []
    for _ in range(200):
        n = 4_000
        mood = rng.random((n, 1))
        first = rng.random((n, 2)) < 0.5
        logged = np.full((n, 2), 0.5)
        target = np.where(first, 0.6, 0.4)
        rewards = (rng.random((n, 2)) < 0.2 * mood + 0.1 * first).astype(np.float64)
        batch = replace(
            make_log(1, n=n, slots=2, model=False),
            rewards=rewards,
            logged=logged,
            target=target,
            marginal=None,
        )
        terms = PageTerms(RewardRange(0, 1), slots=2, cascade=True, largest=1.2)
        terms.add(batch)
        found = terms.differences["rips"]
        assert found.sums is not None
        made = cressie_read(found.sums, largest=(1.32 + 1) / 2, rewards=found.rewards)
        covered += 2 * 0.1 * 0.1 in made
        widths.append(made.high - made.low)
    # 95 % within 4 standard errors of 200 logs.
    assert covered >= 200 * (0.95 - 4 * np.sqrt(0.95 * 0.05 / 200))
    assert np.mean(widths) < 0.02
