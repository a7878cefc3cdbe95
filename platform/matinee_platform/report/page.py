"""Write the report of a run: one HTML file that needs nothing else, on line or off.

Every text is escaped by the template engine or by `svg.py`: titles and names come from users' data.
"""

from pathlib import Path
from typing import Any

import yaml

from matinee_platform.analysis.overlap import MIN_SHARE, MIN_SIZE
from matinee_platform.report import figures, tables
from matinee_platform.report.analysis_page import analysis_view
from matinee_platform.report.drift import drift_figure, drift_table
from matinee_platform.report.facts import Facts, read_facts
from matinee_platform.report.headline import headline
from matinee_platform.report.rendering import DARK, environment, write_whole

REPORT = "report.html"
"""File of a run's report."""


def write_report(run: Path, results: dict[str, Any], *, out: Path | None = None) -> Path:
    """Write the report of a run.

    Args:
        run: folder of the run.
        results: content of its `results.json`.
        out: file to write or replace; `RUN/report.html` if not given.

    Returns:
        The file.

    Raises:
        DataError: if a file of the run is missing or damaged; nothing is written then.
    """
    text = render(read_facts(run, results))
    target = out if out is not None else run / REPORT
    write_whole(target, text)
    return target


def render(facts: Facts) -> str:
    """The page as text; the same facts give the same text."""
    return environment().get_template("report.html.j2").render(_content(facts))


def _content(facts: Facts) -> dict[str, Any]:
    settings = facts.settings
    return {
        "facts": facts,
        "settings": settings,
        "results": facts.results,
        "arms": facts.arms,
        "titles": {arm.number: tables.arm_title(facts, arm) for arm in facts.arms},
        "dark": {arm.number: DARK[arm.look.colour] for arm in facts.arms},
        "headline": headline(settings, facts.results),
        "analysis": None if facts.analysis is None else analysis_view(facts.analysis),
        "scorecard": tables.scorecard_table(facts),
        "differences": tables.difference_table(facts),
        "retention": figures.retention_figure(facts),
        "retention_table": tables.retention_table(facts),
        "tradeoff": figures.tradeoff_figures(facts),
        "learning": figures.learning_figures(facts),
        "learning_table": tables.learning_table(facts),
        "lorenz": figures.lorenz_figure(facts),
        "exposure_table": tables.exposure_table(facts),
        "top_titles": tables.top_titles_table(facts),
        "strips": {arm.number: figures.propensity_strip(arm) for arm in facts.arms},
        "propensity_table": tables.propensity_table(facts),
        "overlap_table": tables.overlap_table(facts),
        "overlap_sample": max(
            (found.sample for found in facts.overlaps.values() if not isinstance(found, str)),
            default=0,
        ),
        "min_size": MIN_SIZE,
        "min_share": MIN_SHARE,
        "regret": figures.regret_figure(facts),
        "regret_table": tables.regret_table(facts),
        "drift": drift_figure(facts),
        "drift_table": drift_table(facts),
        "catalogue": facts.catalogue,
        "config": yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False),
    }
