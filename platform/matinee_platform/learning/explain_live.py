"""Explain one logged decision of a service, with its items as callers name them.

The same for a route of the running service and for the command line on its data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee_platform.experiments.definition import HOLDOUT_ARM, LiveArm, LiveExperiment
from matinee_platform.explain import explain_record
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_rows import live_rows
from matinee_platform.serving.bundle import LoadedBundle
from matinee_platform.storage.records import LoggedDecision
from matinee_policies.errors import ConfigError
from matinee_policies.explain import Explanation
from matinee_policies.policy import Policy
from matinee_policies.records import PAD


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveExplanation:
    """A decision of a service, explained.

    Attributes:
        logged: the decision.
        explanation: why.
        names: its candidates as callers name them, by place; empty for padding.
        titles: of the candidates, by place; None where there is no catalogue.
        aspects: names of the catalogue's genres.
    """

    logged: LoggedDecision
    explanation: Explanation
    names: tuple[str, ...]
    titles: tuple[str, ...] | None
    aspects: tuple[str, ...] = ()

    def name(self, item: int) -> str:
        """An item of the explanation as callers name it."""
        found = np.flatnonzero(self.explanation.candidates == item)
        if item == PAD or not found.size:
            return f"stranger {item}"
        return self.names[int(found[0])]

    def label(self, item: int) -> str:
        """Id and title of an item, for people."""
        found = np.flatnonzero(self.explanation.candidates == item)
        title = self.titles[int(found[0])] if self.titles is not None and found.size else ""
        return f"{title} [{self.name(item)}]" if title else self.name(item)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; ids as 16 hex digits."""
        record = self.logged.record
        told = self.explanation.to_json()
        for place, candidate in enumerate(told["candidates"]):
            candidate["id"] = self.names[place] or None
            candidate["title"] = None if self.titles is None else self.titles[place] or None
        for slot in told["slots"]:
            slot["id"] = None if slot["item"] == PAD else self.name(slot["item"])
        return {
            "decision_id": f"{record.decision_id:016x}",
            "experiment": record.experiment,
            "arm": record.arm,
            "unit": f"{record.unit:016x}",
            "page": record.page,
            "decided_at": record.decided_at,
            "snapshot": record.snapshot,
            "served_by": record.served_by.name.lower(),
            **told,
        }


def arm_that_logged(experiment: LiveExperiment, name: str) -> LiveArm:
    """The arm of a logged decision; the holdout shows the candidates of the control.

    Raises:
        ConfigError: the experiment has no such arm.
    """
    if name == HOLDOUT_ARM:
        return experiment.arm(experiment.control)
    for arm in experiment.arms:
        if arm.name == name:
            return arm
    raise ConfigError(f"experiment {experiment.key!r} must have the arm {name!r}, it has none")


def explain_live(
    logged: LoggedDecision,
    *,
    arm: LearningArm,
    policy: Policy,
    bundle: LoadedBundle,
    items: Callable[[Sequence[int]], list[str]],
) -> LiveExplanation:
    """Explain a logged decision.

    Args:
        logged: the decision.
        arm: that logged it, with the secret of its draws.
        policy: in the state that chose.
        bundle: of the arm.
        items: names of items that have no catalogue, by row (`EventReader.items`).

    Raises:
        ContextError: if the decision is of another catalogue or other features.
    """
    rows = live_rows([logged])
    arm.contexts.check(rows)
    context = arm.contexts.contexts(rows, with_features=True)
    found = explain_record(logged.record, context=context, policy=policy, secret=arm.secret)
    numbers = rows.candidates[0].tolist()
    if bundle.model is None:
        names = _caller_names([row for row in numbers if row != PAD], items)
        own = tuple(names.get(row, "") for row in numbers)
        return LiveExplanation(logged=logged, explanation=found, names=own, titles=None)
    catalogue = bundle.model.catalogue
    return LiveExplanation(
        logged=logged,
        explanation=found,
        names=tuple("" if row == PAD else bundle.item_ids[row] for row in numbers),
        titles=tuple("" if row == PAD else catalogue.titles[row] for row in numbers),
        aspects=catalogue.genre_names,
    )


def _caller_names(
    rows: Sequence[int], items: Callable[[Sequence[int]], list[str]]
) -> dict[int, str]:
    try:
        return dict(zip(rows, items(rows), strict=True))
    except KeyError:
        # A log that was moved without its names still explains.
        return {row: f"row {row}" for row in rows}
