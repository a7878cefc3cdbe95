"""What a decision costs as candidates, slots, decisions and features grow.

Shared LinUCB with MMR, a batch of 64, every other size as in `decision.py`. The slope is that of
log time against log size over the larger half of the sizes, where the fixed cost of a call is past:
1 is linear. Times are CPU time, the least of several calls.

    python benchmarks/growth.py [--quick] [--json]
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from harness import Bars, Effort, Row, least_seconds, main
from made_up_decisions import contexts_of, keys_of, learned_policy
from matinee_policies.lin_ucb import LinUCB

PLOT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks_growth.svg"
LINEAR, SQUARE = 1.1, 2.1


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a call; the defaults stay where another one grows."""

    decisions: int = 64
    candidates: int = 100
    slots: int = 10
    dimension: int = 64


@dataclass(frozen=True, slots=True)
class Curve:
    """One size that grows.

    Attributes:
        name: as in formulas.
        label: in words.
        sizes: rising.
        shape: makes the shape at a size.
        bar: largest slope allowed.
        microseconds: least CPU time of a call at each size.
    """

    name: str
    label: str
    sizes: tuple[int, ...]
    shape: Callable[[int], Shape]
    bar: float
    microseconds: tuple[float, ...] = ()

    @property
    def slope(self) -> float:
        """Of log time against log size, over the larger half."""
        half = len(self.sizes) // 2
        x, y = np.log(self.sizes[half:]), np.log(self.microseconds[half:])
        return float(np.polyfit(x, y, 1)[0])


CURVES = (
    Curve(
        "K",
        "candidates",
        (20, 50, 100, 200, 500, 1_000),
        lambda K: Shape(candidates=K),
        LINEAR,
    ),
    Curve("L", "slots", (2, 5, 10, 20, 40), lambda L: Shape(slots=L), LINEAR),
    Curve(
        "B",
        "decisions",
        (1, 4, 16, 64, 256, 1_024, 4_096),
        lambda B: Shape(decisions=B),
        LINEAR,
    ),
    Curve(
        "d",
        "features",
        (8, 16, 32, 64, 128, 256),
        lambda d: Shape(dimension=d),
        SQUARE,
    ),
)


def measure(effort: Effort) -> list[Row]:
    """A row for every size that grows; draws the curves unless all is tiny."""
    curves = [timed(curve, effort) for curve in CURVES]
    if not effort.tiny:
        draw(curves, PLOT)
    return [
        Row(
            name=f"cost of a call against {curve.name} ({curve.label})",
            size=f"{curve.sizes[0]} to {curve.sizes[-1]:,}",
            unit="slope",
            ours=curve.slope,
            bars=Bars(at_most=curve.bar),
            note=f"µs a call against {curve.name}: "
            + ", ".join(
                f"{spent:,.0f} at {size:,}"
                for size, spent in zip(curve.sizes, curve.microseconds, strict=True)
            ),
        )
        for curve in curves
    ]


def timed(curve: Curve, effort: Effort) -> Curve:
    """The curve with the cost of its calls; only its first sizes if all is tiny."""
    sizes = curve.sizes[:3] if effort.tiny else curve.sizes
    spent = [_microseconds(curve.shape(size), effort) for size in sizes]
    return Curve(curve.name, curve.label, sizes, curve.shape, curve.bar, tuple(spent))


def draw(curves: Sequence[Curve], path: Path) -> None:
    """One panel per curve, both axes logarithmic, beside a line of slope 1 (of 2 for features)."""
    with mpl.rc_context({"svg.hashsalt": "matinee", "svg.fonttype": "none", "font.size": 9}):
        figure, panels = plt.subplots(1, len(curves), figsize=(11, 2.8), layout="constrained")
        for panel, curve in zip(panels, curves, strict=True):
            x, y = np.array(curve.sizes, float), np.array(curve.microseconds)
            degree = round(curve.bar)
            panel.loglog(x, y, "o-", color="#1f5fa8", label=f"slope {curve.slope:.2f}")
            panel.loglog(
                x, y[-1] * (x / x[-1]) ** degree, ":", color="#888888", label=f"slope {degree}"
            )
            panel.set_xlabel(f"{curve.label} {curve.name}")
            panel.legend(frameon=False)
        panels[0].set_ylabel("µs a call")
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _microseconds(shape: Shape, effort: Effort) -> float:
    policy = _policy(shape)
    contexts = contexts_of(
        decisions=shape.decisions, candidates=shape.candidates, dimension=shape.dimension
    )
    keys = keys_of(shape.decisions)

    def decide() -> None:
        policy.decide(contexts, slots=shape.slots, keys=keys)

    once = least_seconds(decide, calls=1)
    calls = int(np.clip(effort.seconds * effort.repeats / 2.0 / once, 3, 500))
    return least_seconds(decide, calls=calls) * 1e6


def _policy(shape: Shape) -> LinUCB:
    return learned_policy(shape.dimension, slots=min(shape.slots, shape.candidates))


if __name__ == "__main__":
    mpl.use("svg")
    main(__doc__, measure)
