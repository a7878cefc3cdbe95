"""The evaluation of candidate sources as text: ratings first, then one table per k."""

from typing import Any

from rich.console import Console
from rich.table import Table

_TEXT_WIDTH = 118


def print_evaluation(record: dict[str, Any]) -> None:
    """Print what `evaluate_candidates` gave to standard output."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_TEXT_WIDTH)
    ratings = record["ratings"]
    for line in (
        f"Data: {record['data']}",
        f"Split: {record['split']}: {ratings['train']:,} to learn from, {ratings['held_out']:,} "
        f"held out of {record['users_with_held_out']:,} users; {record['items']:,} items",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(_rating_table(record))
    for k in record["k"]:
        console.print(_ranking_table(record, k))
    for name, source in record["sources"].items():
        if source["note"]:
            console.print(
                f"Source {name}: {source['note']}", highlight=False, markup=False, soft_wrap=True
            )
    console.print(
        f"In parentheses: {record['intervals']}. Coverage is of all users together, without one.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _rating_table(record: dict[str, Any]) -> Table:
    table = _table("Fit and predicted ratings", "source", "fit, s", "RMSE", "MAE")
    for name, source in record["sources"].items():
        errors = [_interval(source[metric], 4) for metric in ("rmse", "mae")]
        table.add_row(name, f"{source['fit_seconds']:.2f}", *errors)
    return table


def _ranking_table(record: dict[str, Any], k: int) -> Table:
    headers = (f"recall@{k}", f"NDCG@{k}", f"novelty@{k}, bits", f"coverage@{k}")
    table = _table(f"First {k} candidates", "source", *headers)
    for name, source in record["sources"].items():
        at = source["at"][str(k)]
        table.add_row(
            name,
            _interval(at["recall"], 4),
            _interval(at["ndcg"], 4),
            _interval(at["novelty"], 2),
            f"{at['coverage']:.1%}",
        )
    return table


def _table(title: str, first: str, *headers: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _interval(estimate: dict[str, Any] | None, digits: int) -> str:
    if estimate is None:
        return "-"
    value = f"{estimate['value']:.{digits}f}"
    if estimate["low"] is None:
        return value
    # Round ones: square brackets are markup to rich.
    return f"{value} ({estimate['low']:.{digits}f}, {estimate['high']:.{digits}f})"
