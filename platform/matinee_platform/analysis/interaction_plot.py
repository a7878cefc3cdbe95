"""Draw CTR by earlier impressions of items and earlier sessions of users."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from matinee_platform.analysis.interaction_curve import InteractionCurve

_PANELS = (
    ("items", "earlier impressions of the item"),
    ("new_items", "the same, items that nobody had rated"),
    ("users", "earlier sessions of the user"),
)


def save_interaction_plot(curves: Mapping[str, InteractionCurve], path: Path) -> None:
    """Write a picture with a panel for each kind of stage and a line for each arm.

    Args:
        curves: by name of the arm.
        path: file to write; its ending says the format.
    """
    figure = Figure(figsize=(13, 4), layout="constrained")
    for axes, (kind, title) in zip(figure.subplots(1, 3), _PANELS, strict=True):
        for name, curve in curves.items():
            classes = getattr(curve, kind)
            ctr = np.array([one.ctr for one in classes])
            axes.errorbar(
                np.arange(ctr.size),
                ctr,
                yerr=[1.96 * one.error for one in classes],
                label=name,
                capsize=2,
            )
            axes.set_xticks(np.arange(ctr.size), [f"{one.least:,}+" for one in classes])
        axes.set_xlabel(title)
        axes.set_ylabel("clicks per item shown")
    figure.axes[0].legend()
    figure.savefig(path)
