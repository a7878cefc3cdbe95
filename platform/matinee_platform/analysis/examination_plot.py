"""Draw the estimated curve of examination with its error bars."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from matinee_platform.examination import Examination
from matinee_policies.errors import ContextError

_INK, _QUIET, _GRID = "#222222", "#666666", "#E6E6E6"
_FORMATS = (".png", ".svg")


def save_examination_plot(found: Examination, path: Path, *, title: str) -> None:
    """Write the plot: the curve slot by slot with 95 % intervals, and the fall by one ratio.

    Args:
        found: the estimate.
        path: file ending in `.png` or `.svg`; replaced if it exists.
        title: what was measured, in one line.

    Raises:
        ContextError: if the file has another ending.
    """
    if path.suffix not in _FORMATS:
        raise ContextError(f"the plot must end in {' or '.join(_FORMATS)}, got {path.name!r}")
    slots = np.arange(1, found.curve.size + 1)
    with mpl.rc_context({"svg.hashsalt": "matinee", "svg.fonttype": "none"}):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.errorbar(
            slots,
            found.curve,
            yerr=1.96 * found.curve_error,
            color=_INK,
            marker="o",
            markersize=4,
            linewidth=0,
            elinewidth=1.2,
            capsize=2.5,
            label="estimated, 95 % intervals",
        )
        if np.isfinite(found.persistence) and slots.size > 1:
            axes.plot(
                slots[1:],
                found.curve[1] * found.persistence ** (slots[1:] - 2.0),
                color=_QUIET,
                linewidth=1.4,
                label=f"falling by {found.persistence:.3f} a slot",
            )
        axes.set_title(title, loc="left", fontsize=11, color=_INK)
        axes.set_xlabel("slot")
        axes.set_ylabel("examined, in shares of the first slot")
        axes.set_ylim(bottom=0.0)
        axes.set_xticks(slots if slots.size <= 20 else slots[::5])
        axes.grid(axis="y", color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
        # Neither names its maker or the hour, so that the same curve gives the same bytes.
        hidden = "Date" if path.suffix == ".svg" else "Software"
        figure.savefig(path, metadata={hidden: None})
