"""How the arms of any experiment share its units: what a file may leave out, and what must hold."""

from collections.abc import Sequence
from typing import Any, Protocol

_WEIGHT_TOLERANCE = 1e-9


class SharedArm(Protocol):
    """An arm with a name and a share of the units."""

    @property
    def name(self) -> str:
        """Distinct among the arms."""

    @property
    def weight(self) -> float:
        """Share of the units, in [0, 1]."""


def filled_in(values: Any) -> Any:
    """Settings of an experiment as read, with what a file may leave out.

    The first arm is the control unless one is named; arms share equally if none has a weight.
    What has not the shape of settings is returned as it is, for their own checks to refuse.

    Example:
        >>> filled_in({"arms": [{"name": "old"}, {"name": "new"}]})["arms"][1]
        {'name': 'new', 'weight': 0.5}
    """
    if not isinstance(values, dict) or not isinstance(values.get("arms"), list):
        return values
    arms = [dict(arm) if isinstance(arm, dict) else arm for arm in values["arms"]]
    plain = [arm for arm in arms if isinstance(arm, dict)]
    if not any("weight" in arm for arm in plain):
        for arm in plain:
            arm["weight"] = 1.0 / len(arms)
    control = values.get("control") or (plain[0].get("name", "") if plain else "")
    return {**values, "arms": arms, "control": control}


def check_arms(arms: Sequence[SharedArm], *, control: str) -> None:
    """Hold the arms of an experiment against each other.

    Raises:
        ValueError: when a name occurs twice, weights do not sum to 1, or no arm is the control.
    """
    names = [arm.name for arm in arms]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"arm names must be distinct, got {doubled[0]!r} more than once")
    if control not in names:
        raise ValueError(f"control must be one of {', '.join(names)}, got {control!r}")
    total = sum(arm.weight for arm in arms)
    if abs(total - 1.0) > _WEIGHT_TOLERANCE:
        raise ValueError(f"weights of the arms must sum to 1, got {total:.12g}")
