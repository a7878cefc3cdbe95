"""The dashboards on the real thing: a service on PostgreSQL, its users, a real Prometheus.

The processes are those of docker-compose.yml, with its command lines and environment.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from matinee_dashboards.boards import BOARDS
from panel_answers import answers, choices_of
from stack.checks import empty_panels, failed_rules, until_equal
from stack.composed import ROOT
from stack.key_figures import METRIC_OF_PANEL
from stack.side_by_side import EXPERIMENT, Stack

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

USERS, DAYS = 240, 30
ARMS = {"mf_order", "lin_ucb"}


@pytest.fixture(scope="module")
def lived() -> Iterator[tuple[Stack, dict[str, Any]]]:
    """A stack whose simulated users have lived their weeks, and what came of it."""
    # Not below pytest's folder: the socket of PostgreSQL has a short name.
    folder = Path(tempfile.mkdtemp(prefix="matinee-"))
    with pytest.MonkeyPatch.context() as patch, ExitStack() as opened:
        opened.callback(shutil.rmtree, folder, ignore_errors=True)
        patch.delenv("MATINEE_DATA", raising=False)
        (folder / "runtime").mkdir(mode=0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "runtime"))
        settings = folder / "settings"
        shutil.copytree(ROOT / "examples" / "stack", settings)
        run = yaml.safe_load((settings / "run.yaml").read_text(encoding="utf-8"))
        run.update(users=USERS, days=DAYS, world={"arrival_days": 1})
        (settings / "run.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
        # As fast as it goes.
        patch.setenv("MATINEE_DAYS_PER_SECOND", "100")
        stack = opened.enter_context(Stack(folder, settings=settings))
        said = stack.drive.finish(wait_s=250.0)
        # Key figures outlive their process; and a new one analyses soon.
        stack.restart()
        yield stack, json.loads("{" + f"\n{said}".rpartition("\n{\n")[2])


def test_the_users_came_and_all_was_taken(lived: tuple[Stack, dict[str, Any]]) -> None:
    stack, told = lived
    assert told["users"] == USERS
    assert told["days"] == DAYS
    assert told["failed"] is False
    # One scrape may have met the service between two lives.
    stack.wait(
        "it is scraped", lambda: {*stack.prometheus.targets_up().values()} == {True}, seconds=60.0
    )


def test_key_figures_are_those_of_the_analysis(lived: tuple[Stack, dict[str, Any]]) -> None:
    stack, _ = lived
    with stack.client() as client:
        figures = until_equal(stack, client, experiment=EXPERIMENT)
    assert {one.panel for one in figures} == {
        "Users by arm",
        "Pages per session",
        *METRIC_OF_PANEL,
    }
    assert {one.arm for one in figures} == ARMS
    assert [one for one in figures if not one.equal] == []
    assert [one for one in figures if one.shown is None] == []


def test_every_panel_is_answered_with_data(lived: tuple[Stack, dict[str, Any]]) -> None:
    stack, _ = lived
    assert empty_panels(stack, experiment=EXPERIMENT) == []


def test_what_only_runs_have_is_asked_without_a_fault(lived: tuple[Stack, dict[str, Any]]) -> None:
    stack, _ = lived
    for board in BOARDS:
        choices = choices_of(board, stack.prometheus, experiment=EXPERIMENT)
        assert set(choices["arm"]) >= ARMS
        found = answers(board, stack.prometheus, choices=choices, interval="20s", seconds=600.0)
        assert [error for one in found for error in one.errors] == []


def test_every_rule_is_evaluated_without_a_fault(lived: tuple[Stack, dict[str, Any]]) -> None:
    stack, _ = lived
    assert stack.prometheus.rules()
    assert failed_rules(stack) == []
