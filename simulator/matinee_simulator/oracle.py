"""The truth about simulated users, for reference arms, diagnostics and tests only.

No policy under test may hold an `Oracle`: what it says cannot be observed by any platform.
"""

from collections.abc import Callable

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, Float32Array, FloatArray, IndexArray
from matinee_policies.compiled import kernel, lean_kernel
from matinee_policies.errors import ContextError
from matinee_simulator.best_page import BestPages, empty_best_pages, fill_best_pages
from matinee_simulator.click_models import fill_click_chances, stop_probability
from matinee_simulator.fatigue import count_impressions
from matinee_simulator.logistic import logistic
from matinee_simulator.page import PageWeights
from matinee_simulator.response import attraction, redundancy
from matinee_simulator.satiation import remaining_share, satiation_with
from matinee_simulator.satisfaction import expected_satisfaction
from matinee_simulator.taste_drift import TasteDrift, drift_tastes
from matinee_simulator.truth import ItemTruth, relevance_of
from matinee_simulator.user_state import UserState

RELEVANCE = 0
CLICK = 1
SATISFACTION = 2
INDEX = 3
"""What `fill_item_truth` can say of an item."""


class Oracle:
    """A view of the latent state of a simulation, always at its present moment.

    Args:
        truth: of the items.
        users: latent state; nothing changes but tastes that drift, brought to the present.
        weights: of the model.
        drift: of tastes.
        today: the simulation's day.
    """

    def __init__(
        self,
        truth: ItemTruth,
        users: UserState,
        weights: PageWeights,
        drift: TasteDrift,
        today: Callable[[], int],
    ) -> None:
        self._truth = truth
        self._users = users
        self._weights = weights
        self._drift = drift
        self._today = today

    def click_probability(self, units: IndexArray, items: IndexArray) -> FloatArray:
        """Probability that each item is clicked if it alone is examined, in any click model.

        Satiation and earlier impressions are those of now; redundancy within a slate is not
        counted. With `click_redundancy` 0, ranking by this maximises a page's expected clicks in
        the position-based and the multinomial model, not in a cascade; see `best_page`.

        Args:
            units: indices of users, `int32 [n]`.
            items: item rows, -1 for none, `int32 [n, K]`.

        Returns:
            `float64 [n, K]`, 0 for none.
        """
        return self._of_items(CLICK, units, items)

    def expected_satisfaction(self, units: IndexArray, items: IndexArray) -> FloatArray:
        """E[y] of each item if clicked now, in z units; arguments as `click_probability`."""
        return self._of_items(SATISFACTION, units, items)

    def relevance(self, units: IndexArray, items: IndexArray) -> FloatArray:
        """Relevance x of each item, in sd; arguments as `click_probability`."""
        return self._of_items(RELEVANCE, units, items)

    def index(
        self,
        units: IndexArray,
        items: IndexArray,
        *,
        satisfaction_weight: float,
        satiation_price: float,
    ) -> FloatArray:
        """A long-run reference score: what a click is worth beyond this page, by two constants.

            sigmoid(a) (1 + ws E[y]) - wh sigmoid(a) (<h, g> + |g|^2 / 2)

        A click adds g to the satiation h, so that |h|^2 / 2, a cost of satiation, rises by
        <h, g> + |g|^2 / 2. Not an optimum: `long_run` tunes the constants.

        Args:
            units: indices of users, `int32 [n]`.
            items: item rows, -1 for none, `int32 [n, K]`.
            satisfaction_weight: ws; with both constants 0 the index is `click_probability`.
            satiation_price: wh.

        Returns:
            In clicks, `float64 [n, K]`, 0 for none.
        """
        return self._of_items(INDEX, units, items, satisfaction_weight, satiation_price)

    def click_chances(self, units: IndexArray, slates: IndexArray) -> FloatArray:
        """P(click at rank k) of a whole slate shown now, redundancy included.

        Exact in every click model, in the closed forms of `click_models`: neither satiation nor
        impressions change within a page.

        Args:
            units: indices of users, `int32 [n]`.
            slates: item rows in the order shown, -1 for empty slots, `int32 [n, L]`.

        Returns:
            `float64 [n, L]`, 0 for empty slots.
        """
        self._look_at(units, slates)
        out, _ = self._page_chances(units, slates)
        return out

    def expected_clicks(self, units: IndexArray, slates: IndexArray) -> FloatArray:
        """Expected clicks of a whole slate shown now, exactly: the sum of `click_chances`.

        Args:
            units: indices of users, `int32 [n]`.
            slates: item rows in the order shown, -1 for empty slots, `int32 [n, L]`.

        Returns:
            `float64 [n]`.
        """
        self._look_at(units, slates)
        _, total = self._page_chances(units, slates)
        return total

    def best_page(self, units: IndexArray, candidates: IndexArray, *, slots: int) -> BestPages:
        """Bounds of the expected clicks of the best page that can be shown now.

        With `click_redundancy` 0 both bounds are the best page itself in every click model.

        Args:
            units: indices of users, `int32 [n]`.
            candidates: item rows, distinct within a row, -1 for none, `int32 [n, K]`.
            slots: slots of the page, at least 1.

        Raises:
            ContextError: the arrays break a rule.
        """
        self._look_at(units, candidates)
        if slots < 1:
            raise ContextError(f"slots must be >= 1, got {slots}")
        out = empty_best_pages(units.size, slots)
        fill_best_pages(
            self._truth, self._users, self._weights, units, candidates, self._today(), out
        )
        return out

    def goodwill(self) -> FloatArray:
        """S of every user, `float64 [n_users]`."""
        return self._users.goodwill.copy()

    def churned(self) -> BoolArray:
        """Who never comes back, `bool [n_users]`."""
        return self._users.churned.copy()

    def session_satisfaction(self) -> FloatArray:
        """Sum of y over the clicks of each user's last session, `float64 [n_users]`."""
        return self._users.satisfaction.copy()

    def examined(self, units: IndexArray) -> IndexArray:
        """Ranks examined on each user's last page, `int32 [n]`."""
        return self._users.depth[units]

    def satiation(self, units: IndexArray) -> FloatArray:
        """Satiation h with each topic now, in clicks, `float64 [n, G]`."""
        days = self._today() - self._users.satiation_day[units]
        half_life = self._weights.satiation.half_life
        share = np.exp2(-days / half_life)
        return np.asarray(share[:, None] * self._users.satiation[units])

    def _page_chances(self, units: IndexArray, slates: IndexArray) -> tuple[FloatArray, FloatArray]:
        chances, total = np.zeros(slates.shape), np.zeros(units.size)
        _fill_click_chances(
            self._truth, self._users, self._weights, units, slates, self._today(), chances, total
        )
        return chances, total

    def _of_items(
        self,
        what: int,
        units: IndexArray,
        items: IndexArray,
        satisfaction_weight: float = 0.0,
        satiation_price: float = 0.0,
    ) -> FloatArray:
        self._look_at(units, items)
        out = np.zeros(items.shape)
        fill_item_truth(
            self._truth,
            self._users,
            self._weights,
            what,
            float(satisfaction_weight),
            float(satiation_price),
            units,
            items,
            self._today(),
            out,
        )
        return out

    def _look_at(self, units: IndexArray, items: IndexArray) -> None:
        """Check the arrays, and bring the tastes of these users to today."""
        if units.ndim != 1 or items.ndim != 2 or items.shape[0] != units.size:
            raise ContextError(
                f"units and items must be [n] and [n, K], got {units.shape} and {items.shape}"
            )
        _check_rows("units", units, 0, self._users.numbers.size)
        _check_rows("items", items, -1, self._truth.quality.size)
        if self._drift.is_on:
            drift_tastes(self._users, self._drift, units, self._today())


@lean_kernel
def fill_item_truth(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    what: int,
    satisfaction_weight: float,
    satiation_price: float,
    units: IndexArray,
    items: IndexArray,
    day: int,
    out: FloatArray,
) -> None:
    """Say one thing of every item as it is to each user now.

    Args:
        truth: of the items.
        users: latent state, read only.
        weights: of the model.
        what: `RELEVANCE`, `CLICK`, `SATISFACTION` or `INDEX`.
        satisfaction_weight: of the index.
        satiation_price: of the index.
        units: indices of users, `int32 [n]`.
        items: item rows, -1 for none, `int32 [n, K]`.
        day: the day.
        out: receives it where there is an item, `float64 [n, K]`.
    """
    for row in range(units.shape[0]):
        unit = units[row]
        share = remaining_share(weights.satiation, day - users.satiation_day[unit])
        for place in range(items.shape[1]):
            item = items[row, place]
            if item < 0:
                continue
            relevance = relevance_of(truth, users.taste[unit], item)
            satiation = share * satiation_with(users.satiation[unit], truth.topics[item])
            if what == RELEVANCE:
                out[row, place] = relevance
            elif what == SATISFACTION:
                out[row, place] = expected_satisfaction(
                    weights.satisfaction, relevance, truth.appeal[item], satiation
                )
            else:
                shown = count_impressions(
                    users.shown_item[unit], users.shown_day[unit], item, day, weights.fatigue_days
                )
                logit = attraction(
                    weights.response, relevance, truth.appeal[item], satiation, 0.0, shown
                )
                chance = logistic(logit + truth.boost[item])
                if what == INDEX:
                    liked = expected_satisfaction(
                        weights.satisfaction, relevance, truth.appeal[item], satiation
                    )
                    cost = satiation + squared_length(truth.topics[item]) / 2.0
                    chance *= 1.0 + satisfaction_weight * liked - satiation_price * cost
                out[row, place] = chance


@lean_kernel
def squared_length(vector: Float32Array) -> float:
    """|g|^2 of a vector, in float64."""
    total = 0.0
    for f in range(vector.shape[0]):
        total += np.float64(vector[f]) * np.float64(vector[f])
    return total


@kernel
def _fill_click_chances(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    units: IndexArray,
    slates: IndexArray,
    day: int,
    chances: FloatArray,
    total: FloatArray,
) -> None:
    logits = np.empty(slates.shape[1])
    stops = np.zeros(slates.shape[1])
    for row in range(units.shape[0]):
        unit = units[row]
        share = remaining_share(weights.satiation, day - users.satiation_day[unit])
        for rank in range(slates.shape[1]):
            item = slates[row, rank]
            if item < 0:
                logits[rank] = -np.inf
                continue
            relevance = relevance_of(truth, users.taste[unit], item)
            satiation = share * satiation_with(users.satiation[unit], truth.topics[item])
            logits[rank] = truth.boost[item] + attraction(
                weights.response,
                relevance,
                truth.appeal[item],
                satiation,
                redundancy(truth.similarity, slates[row], rank),
                count_impressions(
                    users.shown_item[unit], users.shown_day[unit], item, day, weights.fatigue_days
                ),
            )
            stops[rank] = stop_probability(
                weights.law,
                expected_satisfaction(
                    weights.satisfaction, relevance, truth.appeal[item], satiation
                ),
            )
        total[row] = fill_click_chances(weights.law, logits, stops, chances[row])


def _check_rows(name: str, rows: AnyArray, low: int, n: int) -> None:
    if rows.dtype != np.int32:
        raise ContextError(f"{name} must be int32, got {rows.dtype}")
    if rows.size and not (int(rows.min()) >= low and int(rows.max()) < n):
        raise ContextError(
            f"{name} must be within {low} and {n - 1}, got {int(rows.min())} to {int(rows.max())}"
        )
