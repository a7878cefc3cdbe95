"""When drawn users rate: visits, releases and bursts of ratings."""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
)

FIRST_MOMENT = 828_057_600
"""29 March 1996 in unix seconds, the first day of MovieLens latest-small."""

LAST_MOMENT = 1_537_747_200
"""24 September 2018, its last day."""

_DAY = 86_400.0
_YEAR = 365.25 * _DAY
_BURST = 1_200.0
_LONGEST_BURST = 0.25 * _DAY
_SINGLE_VISIT_SHARE = 0.59
_MEAN_CAREER = 580.0 * _DAY
_AGE_SLOPE = -0.06
_OLDEST = 25.0
_LATEST_RELEASE = 240.0 * _DAY


@dataclass(frozen=True, slots=True)
class Careers:
    """First and last visit of each user.

    Attributes:
        first: unix seconds, `float64 [N]`.
        last: unix seconds, equal to `first` for a user who came once, `float64 [N]`.
    """

    first: FloatArray
    last: FloatArray

    def knows(self, releases: FloatArray) -> BoolArray:
        """Which items were out at a user's last visit, `bool [M, N]`."""
        return np.asarray(releases[:, None] <= self.last[None, :])

    def nearness(self, releases: FloatArray) -> Float32Array:
        """Log of how much likelier a recent item is rated than an old one, `float32 [M, N]`.

        Falls in a straight line with an item's age at the last visit, over 25 years.
        """
        age = (self.last[None, :] - releases[:, None]) / _YEAR
        return np.asarray(_AGE_SLOPE * np.clip(age, 0.0, _OLDEST), dtype=np.float32)


def draw_careers(random: np.random.Generator, n_users: int) -> Careers:
    """Most users rate on one day; the others come back over months."""
    first = random.uniform(FIRST_MOMENT, LAST_MOMENT - 30 * _DAY, n_users)
    length = random.exponential(_MEAN_CAREER, n_users)
    length[random.random(n_users) < _SINGLE_VISIT_SHARE] = 0.0
    return Careers(first=first, last=np.minimum(first + length, LAST_MOMENT - _DAY))


def draw_releases(random: np.random.Generator, years: AnyArray) -> FloatArray:
    """A moment in the first months of each item's year, unix seconds, `float64 [M]`."""
    return np.asarray((years - 1970.0) * _YEAR + random.uniform(0, _LATEST_RELEASE, years.size))


def draw_times(
    random: np.random.Generator,
    *,
    users: IndexArray,
    items: IndexArray,
    careers: Careers,
    releases: FloatArray,
) -> Int64Array:
    """Moment of each rating, in bursts on visits, unix seconds, `int64 [nnz]`.

    An item that was not yet out at the visit is rated at some later moment: within the career if
    it came out by then, else until `LAST_MOMENT`.
    """
    length = careers.last - careers.first
    visits = 1 + random.poisson(2.0 * np.sqrt(length / (30 * _DAY)))
    visit = np.floor(random.random(users.size) * visits[users]) / visits[users]
    burst = np.minimum(random.exponential(_BURST, users.size), _LONGEST_BURST)
    times = careers.first[users] + visit * length[users] + burst
    out = releases[items]
    end = np.where(out <= careers.last[users], careers.last[users], LAST_MOMENT)
    late = out + random.random(users.size) * (end - out)
    return np.where(times < out, late, times).astype(np.int64)
