"""Dashboards as Grafana reads them; the one module that knows Grafana's own types."""

import json
from collections.abc import Iterator
from math import inf
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from matinee_dashboards.records import Board, Bound, Panel, Query, Row, Variable
from matinee_dashboards.runbooks import OF_DASHBOARDS

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

_HEIGHT = 8
_TALL = 10
_GRID = 24
_Visual = timeseries.Panel | stat.Panel | table.Panel


def dashboard_json(board: Board, *, runbooks: str = OF_DASHBOARDS) -> str:
    """The file of a dashboard: its JSON, keys sorted, with a line break at its end.

    Args:
        board: the dashboard.
        runbooks: where docs/ is served, in its text box.
    """
    return json.dumps(_dashboard(board, runbooks), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _dashboard(board: Board, runbooks: str) -> models.Dashboard:
    made = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(["matinee"])
        .readonly()
        .timezone("utc")
        .time(f"now-{board.hours}h", "now")
        .refresh(board.refresh)
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("datasource").label("Data").type("prometheus"))
    )
    for variable in board.variables:
        made = made.with_variable(_variable(variable))
    made = made.with_variable(
        builders.TextBoxVariable("runbooks")
        .label("Runbooks")
        .description("Address under which docs/ is served.")
        .default_value(runbooks)
    )
    made = made.link(
        builders.DashboardLink("Matinee")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags(["matinee"])
        .as_dropdown(True)
        .keep_time(True)
        .include_vars(True)
    )
    whole = made.build()
    whole.panels = list(_placed(board.rows))
    return whole


def _variable(variable: Variable) -> builders.QueryVariable:
    made = (
        builders.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(SOURCE)
        .query(f"label_values({variable.series}, {variable.name})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    return made.multi(True).include_all(True).all_value(".+") if variable.many else made


def _placed(rows: tuple[Row, ...]) -> Iterator[models.Panel | models.RowPanel]:
    """Rows and panels with their numbers and places, from left to right and downwards."""
    number, y = 0, 0
    for row in rows:
        number += 1
        heading = builders.Row(row.title).id(number).build()
        heading.grid_pos = models.GridPos(h=1, w=_GRID, x=0, y=y)
        yield heading
        y, x, height = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > _GRID:
                x, y, height = 0, y + height, 0
            tall = _TALL if panel.kind == "table" or panel.repeat else _HEIGHT
            number += 1
            place = models.GridPos(h=tall, w=panel.width, x=x, y=y)
            yield _panel(panel, number=number, place=place)
            x, height = x + panel.width, max(height, tall)
        y += height


def _panel(panel: Panel, *, number: int, place: models.GridPos) -> models.Panel:
    made = _shape(panel)
    made.id(number).title(panel.title).description(panel.description).grid_pos(place)
    made.unit(panel.unit).datasource(SOURCE).thresholds(_thresholds(panel))
    made.no_value("no data yet")
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        made.with_target(_target(query, letter=letter, newest=panel.kind != "lines"))
    if panel.least is not None:
        made.min(panel.least)
    if panel.most is not None:
        made.max(panel.most)
    if panel.words:
        made.mappings([_words(panel)])
    if panel.repeat:
        made.repeat(panel.repeat).repeat_direction("h").max_per_row(2)
    if panel.runbook:
        made.links([_runbook(panel.runbook)])
    return made.build()


def _shape(panel: Panel) -> _Visual:
    if panel.kind == "lines":
        return _lines(panel)
    if panel.kind == "figure":
        return (
            stat.Panel()
            .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
            .color_mode(common.BigValueColorMode.VALUE)
            .graph_mode(common.BigValueGraphMode.NONE)
            .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
            .text(common_builders.VizTextDisplayOptions().title_size(14).value_size(28))
        )
    names = {f"Value #{ascii_uppercase[at]}": name for at, name in enumerate(panel.columns)}
    order = {name: at + 2 for at, name in enumerate(names)} | {"metric": 0, "arm": 1}
    return (
        table.Panel()
        .decimals(4)
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            models.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": order,
                    "renameByName": names,
                },
            )
        )
    )


def _lines(panel: Panel) -> timeseries.Panel:
    """Lines; those whose name ends in low or high are the dashed ends of an interval.

    An axis does not shrink to nothing where all is 0, and shows the levels of a panel.
    """
    dashes = common_builders.LineStyle().fill("dash").dash([6, 6]).build()
    made = (
        timeseries.Panel()
        .line_width(2)
        .fill_opacity(0)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
        .override_by_regexp(
            "/ (low|high)$/",
            [
                models.DynamicConfigValue(id_val="custom.lineStyle", value=dashes),
                models.DynamicConfigValue(id_val="custom.lineWidth", value=1),
            ],
        )
    )
    if panel.least == 0.0:
        made.axis_soft_max(panel.reaches)
    if panel.bounds:
        style = common_builders.GraphThresholdsStyleConfig()
        made.thresholds_style(style.mode(common.GraphThresholdsStyleMode.DASHED))
    return made


def _target(query: Query, *, letter: str, newest: bool) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).ref_id(letter).datasource(SOURCE)
    if query.legend:
        made.legend_format(query.legend)
    if newest:
        return made.instant().format(
            PromQueryFormat.TABLE if not query.legend else PromQueryFormat.TIME_SERIES
        )
    return made.range()


def _thresholds(panel: Panel) -> builders.ThresholdsConfig:
    bounds = panel.bounds
    if not bounds or bounds[0].value != -inf:
        bounds = (Bound(-inf, "green"), *bounds)
    # Grafana's lowest step has no value.
    steps = [
        models.Threshold(value=None if one.value == -inf else one.value, color=one.colour)
        for one in bounds
    ]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _words(panel: Panel) -> models.ValueMap:
    return models.ValueMap(
        options={
            str(value): models.ValueMappingResult(text=text, index=at)
            for at, (value, text) in enumerate(panel.words)
        }
    )


def _runbook(section: str) -> builders.DashboardLink:
    return (
        builders.DashboardLink("What to do")
        .type(models.DashboardLinkType.LINK)
        .url(f"${{runbooks}}/operations.md#{section}")
        .target_blank(True)
    )
