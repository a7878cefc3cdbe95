"""What `make stack` asks of a drive of few days."""

from types import SimpleNamespace
from typing import Any, cast

from prometheus_server import Prometheus
from stack.checks import failed_rules, too_young
from stack.side_by_side import Stack


def test_days_that_are_over_for_nobody_need_no_value() -> None:
    def newest(expr: str) -> list[Any]:
        assert expr.startswith('matinee_retention_eligible_users{experiment="home", day="')
        return [] if 'day="28"' in expr else [{}]

    prometheus = cast("Prometheus", SimpleNamespace(newest=newest))
    assert too_young(prometheus, experiment="home") == {'day="28"', "matinee_cohort_users"}
    everyone = cast("Prometheus", SimpleNamespace(newest=lambda expr: [{}]))
    assert too_young(everyone, experiment="home") == set()


def test_a_rule_that_was_not_evaluated_yet_has_not_failed() -> None:
    told = [["ok", "unknown", "err"], ["ok", "ok", "err"]]

    def rules() -> list[dict[str, str]]:
        return [{"name": f"rule {n}", "health": one} for n, one in enumerate(told[0])]

    def wait(what: str, holds: Any, *, seconds: float) -> float:
        while not holds():
            told.pop(0)
        return 0.0

    stack = SimpleNamespace(prometheus=SimpleNamespace(rules=rules), wait=wait)
    assert failed_rules(cast("Stack", stack)) == ["rule 2"]
