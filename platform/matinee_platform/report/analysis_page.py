"""An analysis as HTML: a part of a run's report, or one page that needs nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from matinee_platform.analysis.arm_look import ArmLook, arm_looks
from matinee_platform.report import analysis_tables as tables
from matinee_platform.report.analysis_figures import (
    effect_figures,
    retention_curve_figure,
    survival_figure,
)
from matinee_platform.report.figures import Figure
from matinee_platform.report.rendering import DARK, environment, write_whole
from matinee_platform.report.tables import Table

_CAPTIONS = {
    "primary": "Primary metrics; p corrected over metrics and arms (Holm)",
    "guardrail": "Guardrails; safe: the loss is shown to be below the margin",
    "other": "Other metrics; p corrected together (Benjamini and Hochberg)",
}


@dataclass(frozen=True, slots=True)
class ShownArm:
    """An arm as the page draws it.

    Attributes:
        number: place among the arms.
        name: of the arm.
        title: name with its role.
        look: in every chart.
        sentence: what it did against control; empty for control.
    """

    number: int
    name: str
    title: str
    look: ArmLook
    sentence: str


@dataclass(frozen=True, slots=True)
class AnalysisView:
    """Everything that the part of the page says.

    Attributes:
        document: the analysis.
        arms: in their order.
        alarm: whether no conclusion may be drawn.
        gates: table of gates.
        metrics: tables of primary metrics and guardrails.
        others: table of other metrics, None without any.
        effects: charts of effects over time.
        retention: chart of retention, None before a day is over.
        family: table of the retention family.
        survival: chart of survival, None where nobody was followed.
        survival_table: its table.
        segments: table of segments, None without any.
    """

    document: Mapping[str, Any]
    arms: tuple[ShownArm, ...]
    alarm: bool
    gates: Table
    metrics: tuple[Table, ...]
    others: Table | None
    effects: list[Figure]
    retention: Figure | None
    family: Table
    survival: Figure | None
    survival_table: Table | None
    segments: Table | None


def analysis_view(document: Mapping[str, Any]) -> AnalysisView:
    """What a page says of an analysis."""
    control = document["control"]
    looks = arm_looks(list(document["arms"]), control=control)
    sentences = document["verdict"]["arms"]
    shown = (
        tables.metrics_table(document, role, caption=_CAPTIONS[role])
        for role in ("primary", "guardrail")
    )
    return AnalysisView(
        document=document,
        arms=tuple(
            ShownArm(
                number,
                name,
                name + (" (control)" if name == control else ""),
                looks[name],
                sentences[name]["sentence"] if name in sentences else "",
            )
            for number, name in enumerate(looks)
        ),
        alarm=bool(document["verdict"]["forbids"]),
        gates=tables.gates_table(document),
        metrics=tuple(one for one in shown if one is not None),
        others=tables.metrics_table(document, "other", caption=_CAPTIONS["other"]),
        effects=effect_figures(document, looks),
        retention=retention_curve_figure(document, looks),
        family=tables.family_table(document),
        survival=survival_figure(document, looks),
        survival_table=tables.survival_table(document),
        segments=tables.segments_table(document),
    )


def write_analysis_page(document: Mapping[str, Any], path: Path) -> None:
    """Write an analysis as one HTML page.

    Args:
        document: as `analyse_experiment` gives it, with its source.
        path: file to write or replace.
    """
    write_whole(path, analysis_page(document))


def analysis_page(document: Mapping[str, Any]) -> str:
    """The page as text; the same analysis gives the same text."""
    view = analysis_view(document)
    return (
        environment()
        .get_template("analysis_page.html.j2")
        .render(
            analysis=view,
            arms=view.arms,
            titles={arm.number: arm.title for arm in view.arms},
            dark={arm.number: DARK[arm.look.colour] for arm in view.arms},
            version=version("matinee"),
        )
    )
