"""Slates drawn in proportion to the exponential of the candidate source's scores.

Restricted to the best few, this is the logging policy that gives off-policy evaluation overlap.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray
from matinee_policies.config import check_range, check_whole
from matinee_policies.diversity import SlateConfig
from matinee_policies.errors import ContextError
from matinee_policies.records import PAD, ContextBatch
from matinee_policies.rules import softmax_rule
from matinee_policies.snapshot import Snapshot
from matinee_policies.value_policy import ValuePolicy, config_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftmaxConfig(SlateConfig):
    """Parameters of `Softmax`; values are scores."""

    temperature: float = 0.1
    """Difference in score that makes an item e times as likely, above 0."""

    top: int | None = None
    """Only so many best scores may be shown (ties: first candidates); `None` means all."""

    floor: float = 0.0
    """Weight of the uniform law over what may be shown at each of `L` slots, in
    [0, 1 - (1 - budget)^(1/L)]."""

    budget: float = 1.0
    """Largest probability that a full slate holds any draw but the greedy pick's, in [0, 1]; slots
    that a pin takes leave their share of it unspent."""

    def __post_init__(self) -> None:
        SlateConfig.__post_init__(self)
        check_range("temperature", self.temperature, low=0, low_open=True)
        check_range("floor", self.floor, low=0, high=1)
        check_range("budget", self.budget, low=0, high=1)
        if self.top is not None:
            check_whole("top", self.top, low=1)


class Softmax(ValuePolicy[SoftmaxConfig]):
    """Sequential softmax over scores; Plackett-Luce where there is neither diversity nor floor.

    Candidates below the `top` have propensity 0: slates that hold them are never shown.
    """

    name = "softmax"

    def __init__(self, config: SoftmaxConfig | None = None) -> None:
        config = config or SoftmaxConfig()
        super().__init__(
            config,
            rule=softmax_rule(config.temperature, floor=config.floor, budget=config.budget),
            diversity=config.diversity,
            caps=config.caps,
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        return cls(config_of(snapshot, SoftmaxConfig, kind=cls.name))

    @property
    def reads_features(self) -> bool:
        """See `ValuePolicy.reads_features`."""
        return type(self) is not Softmax

    def values(self, contexts: ContextBatch) -> FloatArray:
        """The scores of the candidate source."""
        return contexts.scores.astype(np.float64)

    def check_length(self, slots: int) -> None:
        """See `ValuePolicy.check_length`; a slate has at most `top` slots."""
        ValuePolicy.check_length(self, slots)
        top = self.config.top
        if top is not None and slots > top:
            raise ContextError(f"slots must be <= top = {top} of softmax, got {slots}")

    def eligible(self, contexts: ContextBatch, *, slots: int) -> BoolArray | None:
        """The `top` candidates by score among those that contexts allow.

        Raises:
            ContextError: if a slate has more slots than `top`, or a candidate's score is not
                finite.
        """
        top = self.config.top
        if top is None or top >= contexts.candidates.shape[1]:
            return None
        self.check_length(slots)
        closed = contexts.candidates == PAD
        if contexts.eligible is not None:
            closed |= ~contexts.eligible
        wrong = ~closed & ~np.isfinite(contexts.scores)
        if wrong.any():
            row, place = (int(index) for index in np.argwhere(wrong)[0])
            raise ContextError(
                f"score of candidate {place} of decision {row} must be finite, "
                f"got {contexts.scores[row, place]}"
            )
        scores = np.where(closed, -np.inf, contexts.scores)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        chosen = np.zeros(contexts.candidates.shape, dtype=np.bool_)
        np.put_along_axis(chosen, best, values=True, axis=1)
        return chosen
