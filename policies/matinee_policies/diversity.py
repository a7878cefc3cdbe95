"""The kinds of redundancy that a slate can be charged for, as settings.

At each slot, with items J chosen before, candidate i has the utility

    u(i) = value(i) - price * redundancy(i | J)

    MMR         largest cosine with an item of J, at least 0             in [0, 1]
    DPP         -log of the share of e_i that J does not explain         in [0, -log 1e-6 = 13.8]
    Calibrated  KL divergence of the slate's aspects from the unit's     at least 0
    XQuAD       1 - the unit's interest that i covers and J does not     in [0, 1]

The scales differ, so a price of one kind says nothing of a price of another.

`redundancy.py` computes them. Rules see differences of utilities only, so a constant in a
redundancy changes nothing.

Sources: Carbonell and Goldstein 1998 (MMR); Chen, Zhang and Zhou 2018, "Fast greedy MAP inference
for determinantal point process", algorithm 1; Steck 2018, "Calibrated recommendations", eqs. 1-3;
Santos, Macdonald and Ounis 2010, "Exploiting query reformulations for web search result
diversification", eqs. 1-4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from matinee_policies.config import Config, check_range, check_whole, plain
from matinee_policies.errors import ConfigError

MOST_PRICE = 1e12
"""Largest price of a unit of redundancy."""

MOST_VALUE = 1e12
"""Largest value of a candidate, and largest minus one: utilities and their gaps stay finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversity(Config):
    """A price of redundancy; use one of the kinds below."""

    kind: ClassVar[str] = ""

    price: float
    """Units of value for one unit of redundancy, in [0, 1e12]; 0 means no diversity."""

    def __post_init__(self) -> None:
        check_range(f"price of {self.kind}", self.price, low=0, high=MOST_PRICE)

    def to_json(self) -> dict[str, Any]:
        """The fields and the kind as JSON values."""
        return {"kind": self.kind, **Config.to_json(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class MMR(Diversity):
    """Maximal marginal relevance: an item repeats the most similar one shown before it."""

    kind: ClassVar[str] = "mmr"


@dataclass(frozen=True, slots=True, kw_only=True)
class DPP(Diversity):
    """Determinantal point process: an item repeats what all shown before it span together.

    The greedy slate maximises sum of values + price * log det of the cosine matrix, step by step.
    """

    kind: ClassVar[str] = "dpp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated(Diversity):
    """A slate with the unit's own mix of aspects; needs `traits` and `interests` in contexts."""

    kind: ClassVar[str] = "calibrated"

    smoothing: float = 0.01
    """Weight of the unit's own mix in the slate's, in (0, 1); keeps the divergence finite."""

    def __post_init__(self) -> None:
        Diversity.__post_init__(self)
        check_range("smoothing", self.smoothing, low=0, high=1, low_open=True, high_open=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class XQuAD(Diversity):
    """Explicit coverage of the unit's aspects; needs `traits` and `interests` in contexts."""

    kind: ClassVar[str] = "xquad"


_KINDS: Mapping[str, type[Diversity]] = {kind.kind: kind for kind in (MMR, DPP, Calibrated, XQuAD)}

DIVERSITY_KINDS = tuple(_KINDS)
"""Every kind of redundancy."""


def diversity_of(setting: object) -> Diversity:
    """The diversity that a setting means.

    Args:
        setting: one of the kinds above; a number, the price of `MMR`; or a mapping with a `kind`,
            its `price` and other fields, as `to_json` gives.

    Raises:
        ConfigError: with the value and the rule.

    Example:
        >>> diversity_of(0.3), diversity_of({"kind": "dpp", "price": 0.1})
        (MMR(price=0.3), DPP(price=0.1))
    """
    if isinstance(setting, Diversity):
        # Not a class derived from a kind either: no compiled code knows it.
        if type(setting) not in _KINDS.values():
            raise ConfigError(
                f"diversity must be of kind {', '.join(_KINDS)}, and of no class derived from "
                f"them, got {setting!r}"
            )
        return setting
    if isinstance(setting, Mapping):
        fields = {str(key): value for key, value in setting.items()}
        kind = fields.pop("kind", None)
        if not isinstance(kind, str) or kind not in _KINDS:
            raise ConfigError(f"kind of diversity must be one of {', '.join(_KINDS)}, got {kind!r}")
        if "price" not in fields:
            raise ConfigError(f"diversity of kind {kind} must have a price, got {dict(setting)}")
        return _KINDS[kind].from_json(fields)
    price = plain(setting)
    if isinstance(price, bool) or not isinstance(price, int | float):
        raise ConfigError(f"diversity must be a price, or a mapping with a kind, got {setting!r}")
    check_range("diversity", price, low=0, high=MOST_PRICE)
    return MMR(price=float(price))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps(Config):
    """Most items of one kind on a slate; 0 means no cap.

    A slot stays empty where no candidate is left under the caps. Pinned items count before any
    other is chosen, so a cap never stands in the way of a pin.
    """

    aspect: int = 0
    """Most items that share an aspect (genre); an item counts for each of its aspects."""

    creator: int = 0
    """Most items of one creator; items whose creator is unknown are not capped."""

    def __post_init__(self) -> None:
        check_whole("aspect", self.aspect, low=0)
        check_whole("creator", self.creator, low=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateConfig(Config):
    """The settings that every policy over the slate sampler shares."""

    diversity: float | Diversity = 0.0
    """Price of redundancy in value units: a number at least 0 for MMR, or a kind with its price."""

    caps: Caps = Caps()
    """Most items of one aspect or creator on a slate."""

    def __post_init__(self) -> None:
        # JSON has mappings only; a plain number stays one, as it was written.
        if isinstance(self.diversity, Mapping):
            object.__setattr__(self, "diversity", diversity_of(self.diversity))
        else:
            diversity_of(self.diversity)
        if isinstance(self.caps, Mapping):
            object.__setattr__(self, "caps", Caps.from_json(self.caps))
        elif not isinstance(self.caps, Caps):
            raise ConfigError(f"caps must be a mapping, got {self.caps!r}")

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values, the kind of diversity among them."""
        values = Config.to_json(self)
        if isinstance(self.diversity, Diversity):
            values["diversity"] = self.diversity.to_json()
        return values
