"""docs/service.md: its calls work, its tables are whole."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from matinee_platform.service.app import OPENAPI_PATH, service_routes
from matinee_platform.service.errors import PROBLEMS
from matinee_platform.service.log_lines import service_log
from matinee_platform.service.running import Service
from matinee_platform.service.testing_parts import Bench

TEXT = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


def curl(client: Any, command: str) -> Any:
    """Do what a curl command says."""
    words = shlex.split(command)
    assert words[:2] == ["curl", "-s"]
    path = words[2].removeprefix("http://127.0.0.1:8400")
    options = dict(zip(words[3::2], words[4::2], strict=True))
    if "-d" not in options:
        return client.get(path)
    name, _, value = options["-H"].partition(": ")
    return client.post(path, content=options["-d"], headers={name: value})


def test_the_calls_work_as_shown(client: Any) -> None:
    commands = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    answers = [curl(client, command) for command in commands]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json()["decision_id"] == "visit 4711, page 1"
    assert answers[1].json()["state"] == "joined"
    assert answers[2].json()["arms"][0]["rewards"] == {"click": 1}


def test_every_route_is_in_the_table(bench: Bench) -> None:
    service = Service(bench.settings, clock=bench.clock, log=service_log())
    for route in service_routes(service):
        path = route.path.replace("decision_id", "id")
        row = next(line for line in TEXT.splitlines() if f"| `{route.method} {path}` |" in line)
        assert row.split("|")[2].strip() == (route.scope or "")
    assert f"`GET {OPENAPI_PATH}`" in TEXT


def test_every_problem_is_in_the_table() -> None:
    for problem in PROBLEMS:
        assert f"| `{problem.code}` | {problem.status} | {problem.title} |" in TEXT


def test_the_example_settings_have_the_experiment_of_the_calls() -> None:
    example = (Path(__file__).parents[2] / "examples" / "serve.yaml").read_text()
    assert "key: home" in example
    assert json.dumps("home") in TEXT
