"""Values of whole slates: four ways to weigh a slot, each plain and self-normalised.

With `w_l` the ratio of target and logged probability of slot `l` given the items above it, and
sums over slots inside means over rows:

| name | value | source |
|---|---|---|
| `standard` | mean (prod_l w_l) (sum_l r_l) | Swaminathan et al. 2017, there IPS |
| `iips` | mean sum_l w_l r_l | Li et al. 2018, item-position model |
| `rips` | mean sum_l (w_1 ... w_l) r_l | McInerney et al. 2020 |
| `cascade_dr` | mean sum_l (w_1 ... w_l) (r_l - q_l) + (w_1 ... w_(l-1)) e_l | Kiyohara 2022 |

and `sn_...`, where each mean of weighted terms is divided by the mean of its weights.

What holds: `standard` and `rips` have the expectation of the page reward under the target, `rips`
if the reward of a slot does not depend on the items below it. `iips` weighs each slot given what
the *log* showed above, and is exact if that does not matter. `cascade_dr` takes the prediction of
the slot's own reward for the value of the slots from `l` on: any function of the items down to `l`
keeps it exact where `rips` is, a better one would only narrow it further.
"""

from typing import Literal

from matinee_platform.ope.estimates import Estimate, estimates
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.row_columns import Weights
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_platform.ope.unit_sums import BUCKETS, UnitSums

SLATE_FORMS: dict[tuple[Weights, str], str] = {
    ("slate", "ips"): "standard",
    ("slate", "snips"): "sn_standard",
    ("slot", "ips"): "iips",
    ("slot", "snips"): "sn_iips",
    ("cascade", "ips"): "rips",
    ("cascade", "snips"): "sn_rips",
    ("cascade", "dr"): "cascade_dr",
    ("cascade", "sndr"): "sn_cascade_dr",
}
"""Names of the slate forms by weights and by estimator of `estimators`."""

_WEIGHTS: tuple[Weights, ...] = ("slate", "slot", "cascade")


class SlateSums:
    """Sums for every form of a slate's value, fed part by part; see `SlotSums`.

    Args:
        buckets: groups of units for errors by unit, see `UnitSums`; None for every unit on its own;
            `"none"` for no errors by unit.
    """

    def __init__(self, *, buckets: int | Literal["none"] | None = BUCKETS) -> None:
        plans = [EstimatorPlan(weights) for weights in _WEIGHTS]
        self._sums = [SlotSums(plan) for plan in plans]
        self._units: list[UnitSums] | list[None] = [None] * len(plans)
        if buckets != "none":
            self._units = [UnitSums(plan, buckets=buckets) for plan in plans]

    def add(self, batch: LoggedBatch) -> None:
        """Add a part of the log; errors as `SlotSums.add`."""
        for sums, units in zip(self._sums, self._units, strict=True):
            sums.add(batch)
            if units is not None:
                units.add(batch)

    def estimates(self) -> tuple[Estimate, ...]:
        """All forms of the page's value; those with predictions where the log has them.

        Raises:
            ContextError: if nothing was added.
        """
        named: list[Estimate] = []
        for sums, units in zip(self._sums, self._units, strict=True):
            for estimate in estimates(sums, units=units):
                name = SLATE_FORMS.get((sums.plan.weights, estimate.name))
                if estimate.slot is None and name is not None:
                    named.append(estimate.named(name))
        return tuple(named)
