"""What a dashboard is, before it is anybody's JSON: rows of panels, each asking Prometheus."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["lines", "figure", "table"]
Source = Literal["both", "service", "run"]

ARM = '{experiment="$experiment", arm=~"$arm"}'
"""Selector of the series of the arms that the reader chose."""
EXPERIMENT = '{experiment="$experiment"}'
"""Selector of the series of the experiment that the reader chose."""
INSTANCE = '{instance=~"$instance"}'
"""Selector of the series of the processes that the reader chose."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus.

    Attributes:
        expr: in PromQL, with Grafana's variables.
        legend: name of a series, with its labels in double braces.
    """

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """A level of a panel from which on its values have another colour.

    Attributes:
        value: where it begins; minus infinity for the lowest values.
        colour: from there on; below the lowest bound, values are green.
    """

    value: float
    colour: Literal["green", "orange", "red"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture.

    Attributes:
        title: what is shown.
        description: what it means and when to worry.
        unit: of Grafana, such as `percentunit`, `s`, `reqps`, `short`.
        queries: what it shows.
        kind: lines over time, newest figures, or a table of newest figures.
        runbook: section of docs/operations.md that says what to do, if there is one.
        bounds: levels that colour it, rising.
        least: lower end of the axis, if it is fixed.
        most: upper end of the axis, if it is fixed.
        reaches: up to which an axis from 0 goes at least, so that nothing but 0 is no mountain.
        width: of 24.
        words: text in place of values, by value.
        repeat: variable for each of whose values the panel is shown once, if any.
        source: who has such figures: a service, an offline run, or both.
        columns: of a table, the name of each query's values, in order.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "lines"
    runbook: str = ""
    bounds: tuple[Bound, ...] = ()
    least: float | None = None
    most: float | None = None
    reaches: float = 0.01
    width: int = 8
    words: tuple[tuple[int, str], ...] = ()
    repeat: str = ""
    source: Source = "service"
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.columns and len(self.columns) != len(self.queries):
            raise ValueError(
                f"{self.title}: {self.columns} do not name {len(self.queries)} queries"
            )


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that answer one question.

    Attributes:
        title: the question.
        panels: in order, left to right.
    """

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice of the reader, out of the values of one label.

    Attributes:
        name: in expressions.
        label: for people.
        series: selector of the series whose label it is.
        many: whether several values, and all of them, may be chosen.
    """

    name: str
    label: str
    series: str
    many: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard.

    Attributes:
        uid: name of its file and of its address.
        title: for people.
        description: what it answers.
        variables: choices of the reader, besides the data source.
        rows: in order, from above.
        hours: that are shown first, up to now.
        refresh: how often it asks anew.
    """

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    hours: int = 6
    refresh: str = "30s"

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in order."""
        return tuple(panel for row in self.rows for panel in row.panels)
