"""What serving tells whoever measures it; metrics live with the service."""

from typing import Protocol


class Observer(Protocol):
    """Told of what happens; must return at once and never raise."""

    def serves(self, experiment: str, arm: str) -> None:
        """An arm is served from now on; told before anything else of it."""

    def decided(self, experiment: str, arm: str, *, decisions: int, seconds: float) -> None:
        """A batch of decisions was taken together."""

    def fell_back(self, experiment: str, arm: str, *, reason: str) -> None:
        """A decision was the order of the candidates, since the policy failed; see `fallback`."""

    def asked_unit(self, experiment: str, arm: str, *, at_hand: bool) -> None:
        """The state of a unit was in memory, or had to be read."""

    def swapped(self, experiment: str, arm: str, *, version: int) -> None:
        """Another snapshot serves."""

    def refused_snapshot(self, experiment: str, arm: str, *, version: int, reason: str) -> None:
        """A snapshot was damaged, forged or of another policy; the one before serves on."""


class Nobody:
    """An observer that looks away."""

    def serves(self, experiment: str, arm: str) -> None:
        """See `Observer.serves`."""

    def decided(self, experiment: str, arm: str, *, decisions: int, seconds: float) -> None:
        """See `Observer.decided`."""

    def fell_back(self, experiment: str, arm: str, *, reason: str) -> None:
        """See `Observer.fell_back`."""

    def asked_unit(self, experiment: str, arm: str, *, at_hand: bool) -> None:
        """See `Observer.asked_unit`."""

    def swapped(self, experiment: str, arm: str, *, version: int) -> None:
        """See `Observer.swapped`."""

    def refused_snapshot(self, experiment: str, arm: str, *, version: int, reason: str) -> None:
        """See `Observer.refused_snapshot`."""
