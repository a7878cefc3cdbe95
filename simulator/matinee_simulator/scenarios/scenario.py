"""What a scenario is made of."""

import dataclasses
import re
from typing import Any

from matinee_policies.config import Config, check_whole
from matinee_policies.errors import ConfigError
from matinee_simulator.parameters import Parameters
from matinee_simulator.scenarios.expectation import Expectation, texts
from matinee_simulator.tabular.parameters import TabularParameters

REGIMES = {
    "T0": "solved exactly: states are few, and the optimum of a lifetime is known",
    "T1": "half real: tastes fitted to ratings; the best page is known, the best policy is not",
    "T2": "stress: what is best changes with the days; the best page of a moment is known",
}
"""Regimes by name: how much of the truth is known exactly."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario(Config):
    """A world with a name.

    Raises:
        ConfigError: on a value that breaks a rule, naming it.
    """

    name: str
    """As commands and settings name it."""
    title: str
    """In one line."""
    purpose: str
    """In one paragraph: what it is for."""
    regime: str
    """One of `REGIMES`."""
    known: tuple[str, ...]
    """What is known exactly, a line each."""
    world: dict[str, Any]
    """Parameters of the users that differ from the defaults; in T0 those of the tabular world."""
    users: int
    """Suggested number of users; each meets every arm."""
    days: int
    """Suggested number of days; in T0 no day is counted, and it is 1."""
    fresh_candidates: int = 0
    """Suggested number of candidates kept for items that arrived during the run."""
    expectations: tuple[Expectation, ...] = ()
    """What a run should show, with the suggested settings."""

    def __post_init__(self) -> None:
        for name in ("name", "title", "purpose", "regime"):
            texts(name, [getattr(self, name)])
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"name must be lower-case letters, digits and _, got {self.name!r}")
        if self.regime not in REGIMES:
            raise ConfigError(f"regime must be one of {', '.join(REGIMES)}, got {self.regime!r}")
        object.__setattr__(self, "known", texts("known", self.known))
        if not isinstance(self.world, dict):
            raise ConfigError(f"world must hold parameters by name, got {self.world!r}")
        parameters = TabularParameters if self.tabular else Parameters
        parameters.from_json(self.world)
        check_whole("users", self.users, low=1)
        check_whole("days", self.days, low=1)
        check_whole("fresh_candidates", self.fresh_candidates, low=0)
        object.__setattr__(self, "expectations", tuple(self.expectations))

    @property
    def tabular(self) -> bool:
        """Whether its world is the one of `matinee_simulator.tabular`."""
        return self.regime == "T0"
