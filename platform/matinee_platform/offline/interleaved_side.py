"""One of the two rankings that are interleaved: an arm's view of the users, and its best slates."""

from dataclasses import dataclass

import numpy as np

from matinee_platform.candidate_pool import CandidatePool
from matinee_platform.context_builder import ContextBuilder
from matinee_platform.offline.arm_state import arm_policy
from matinee_platform.offline.prepare import Prepared, catalogue_calendar
from matinee_platform.offline.reference import reference_scores
from matinee_platform.offline.shelf import Shelf
from matinee_platform.settings import ArmSettings, ExperimentSettings
from matinee_platform.unit_state import UnitStates, age_in_days
from matinee_policies.arrays import IndexArray, Int64Array, UInt64Array
from matinee_policies.diversity import Caps, diversity_of
from matinee_policies.errors import ConfigError
from matinee_policies.likeliest_slates import has_likeliest, likeliest_slates
from matinee_policies.policy import Policy, reads_features
from matinee_policies.records import PAD
from matinee_simulator.history import RUN_START
from matinee_simulator.oracle import Oracle


@dataclass(slots=True)
class Side:
    """One of two arms whose slates are interleaved.

    Attributes:
        arm: its settings.
        policy: as it stands; it does not learn meanwhile.
        units: what the platform remembers of each user, under the arm's candidate model.
        shelf: candidate retrieval.
        contexts: builds what the policy sees.
        candidates: of a page.
        slots: of a page.
    """

    arm: ArmSettings
    policy: Policy
    units: UnitStates
    shelf: Shelf
    contexts: ContextBuilder
    candidates: int
    slots: int

    def pool(self, block: IndexArray, *, pages: int) -> CandidatePool:
        """Candidates of visits that begin now, enough for so many pages."""
        depth = self.candidates + self.slots * (pages - 1)
        hidden = self.units.hidden(block)
        return CandidatePool(self.shelf.rank(block, self.units.vectors[block], hidden, depth=depth))

    def ranking(
        self, pool: CandidatePool, visits: IndexArray, units: IndexArray, oracle: Oracle
    ) -> IndexArray:
        """The slates that the arm would show without exploring, `int32 [n, L]`, `PAD` last."""
        page = pool.take(visits, self.candidates)
        scores = page.scores
        if self.arm.reference:
            scores = reference_scores(self.arm.policy["kind"], oracle, units, page.items)
        contexts = self.contexts.build(
            self.units.as_seen(units),
            page.items,
            scores,
            with_features=reads_features(self.policy),
        )
        items = likeliest_slates(self.policy, contexts, slots=self.slots)
        order = np.argsort(items == PAD, axis=1, kind="stable")
        return np.take_along_axis(items, order, axis=1)


def new_side(
    settings: ExperimentSettings,
    arm: ArmSettings,
    *,
    users: Int64Array,
    pseudonyms: UInt64Array,
    shared: Prepared,
    policy: Policy,
) -> Side:
    """A side before the first day.

    Args:
        settings: of the experiment.
        arm: which arm.
        users: numbers of the simulated users, rising, `int64 [n]`.
        pseudonyms: of the users, `uint64 [n]`.
        shared: what the arms share.
        policy: of the arm, trained if it learns.
    """
    model = shared.model
    units = UnitStates(
        users.size, items=model.items, model=model.sources[arm.candidates], rest=settings.rest
    )
    for past in shared.past.of(users):
        age = age_in_days(past.times, RUN_START)
        units.load_history(past.users, past.items, past.ratings, age)
    units.refresh_vectors()
    return Side(
        arm=arm,
        policy=policy,
        units=units,
        shelf=Shelf(
            model.ranker(arm.candidates, pseudonyms),
            rules=model.rules.get(arm.name),
            calendar=catalogue_calendar(settings, shared.world),
            pseudonyms=pseudonyms,
            candidates=settings.candidates,
            fresh=settings.fresh_candidates,
            seed=settings.seed,
        ),
        contexts=model.contexts(arm.name),
        candidates=settings.candidates,
        slots=settings.slots,
    )


def check_side(arm: ArmSettings) -> None:
    """Refuse an arm that has no ranking to interleave.

    Raises:
        ConfigError: naming the arm.
    """
    if not has_likeliest(arm_policy(arm)):
        raise ConfigError(
            f"arm {arm.name!r} of kind {arm.policy['kind']!r} has no slate that it likes best, "
            "so there is nothing to interleave"
        )


def set_level(policy: Policy) -> str | None:
    """What of a policy's slates speaks of them as sets, in words; None if nothing does."""
    config = getattr(policy, "config", None)
    found = []
    diversity = diversity_of(getattr(config, "diversity", 0.0))
    if diversity.price > 0:
        found.append(f"{diversity.kind} at a price of {diversity.price:g}")
    if getattr(config, "caps", Caps()) != Caps():
        found.append("caps")
    return " and ".join(found) or None
