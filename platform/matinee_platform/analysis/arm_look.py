"""One look per arm, the same in every chart: colour and dash pattern.

Colours of Okabe and Ito (2008), told apart with any common colour blindness; dashes tell arms apart
in print. The control is black and solid, the others take their looks in their order.
"""

from collections.abc import Iterable
from dataclasses import dataclass

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES: tuple[tuple[float, ...], ...] = ((6, 2), (2, 1.3), (), (6, 2, 1.5, 2))
CONTROL_COLOUR = "#000000"


@dataclass(frozen=True, slots=True)
class ArmLook:
    """How an arm is drawn.

    Attributes:
        colour: `#rrggbb`.
        dashes: lengths of strokes and gaps in line widths, empty for a solid line.
        control: whether it is the control.
    """

    colour: str
    dashes: tuple[float, ...]
    control: bool


def arm_looks(names: Iterable[str], *, control: str) -> dict[str, ArmLook]:
    """The look of each arm by its name.

    Example:
        >>> arm_looks(["a", "b"], control="a")["b"].colour
        '#0072B2'
    """
    looks: dict[str, ArmLook] = {}
    turn = 0
    for name in names:
        if name == control:
            looks[name] = ArmLook(CONTROL_COLOUR, (), True)
        else:
            dashes = DASHES[turn % len(DASHES)]
            looks[name] = ArmLook(COLOURS[turn % len(COLOURS)], dashes, False)
            turn += 1
    return looks
