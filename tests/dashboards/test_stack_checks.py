"""What `make stack` asks of a drive of few days."""

from types import SimpleNamespace
from typing import Any, cast

from prometheus_server import Prometheus
from stack.checks import too_young


def test_days_that_are_over_for_nobody_need_no_value() -> None:
    def newest(expr: str) -> list[Any]:
        assert expr.startswith('matinee_retention_eligible_users{experiment="home", day="')
        return [] if 'day="28"' in expr else [{}]

    prometheus = cast("Prometheus", SimpleNamespace(newest=newest))
    assert too_young(prometheus, experiment="home") == {'day="28"', "matinee_cohort_users"}
    everyone = cast("Prometheus", SimpleNamespace(newest=lambda expr: [{}]))
    assert too_young(everyone, experiment="home") == set()
