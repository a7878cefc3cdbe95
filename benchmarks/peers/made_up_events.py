"""Made-up events of a contextual bandit as text, the same in every process."""

from dataclasses import dataclass

import numpy as np

ITEMS = 500
FEATURES = 5

OPTIONS = ("--quiet", "--cb_explore_adf", "--epsilon", "0.1", "-q", "ca")
"""What every side runs: greedy under epsilon, with products of context and item."""


@dataclass(frozen=True, slots=True)
class Events:
    """Events over a catalogue of items whose features do not change.

    Attributes:
        items: line of each item.
        contexts: shared line of each event.
        actions: rows of the items of each event, as lists.
        chosen: place of the chosen one.
        labels: `0:cost:propensity` of it.
    """

    items: list[str]
    contexts: list[str]
    actions: list[list[int]]
    chosen: list[int]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.contexts)

    def text(self, event: int, *, labelled: bool) -> str:
        """One event, as one would send it to Vowpal Wabbit."""
        lines = [self.contexts[event], *(self.items[item] for item in self.actions[event])]
        if labelled:
            place = 1 + self.chosen[event]
            lines[place] = f"{self.labels[event]} {lines[place]}"
        return "\n".join(lines)


def made_up_events(seed: int, *, events: int, actions: int) -> Events:
    """Events whose reward depends on item and context; features have six digits."""
    rng = np.random.default_rng(seed)
    X, C = rng.random((ITEMS, FEATURES)), rng.random((events, FEATURES))
    rows = np.argsort(rng.random((events, ITEMS)), axis=1)[:, :actions]
    chosen = rng.integers(0, actions, events)
    shown = X[rows[np.arange(events), chosen]]
    costs = -(rng.random(events) < (shown * C).mean(axis=1)).astype(float)
    return Events(
        items=["|a" + _features(x) for x in X.tolist()],
        contexts=["shared |c" + _features(c) for c in C.tolist()],
        actions=rows.tolist(),
        chosen=chosen.tolist(),
        labels=[f"0:{cost:g}:{1.0 / actions:g}" for cost in costs.tolist()],
    )


def _features(numbers: list[float]) -> str:
    return "".join(f" {column}:{number:.6g}" for column, number in enumerate(numbers))
