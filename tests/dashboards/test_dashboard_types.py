"""The dashboards against the types that Grafana publishes for its own front end."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

FILES = Path(__file__).resolve().parents[2] / "dashboards" / "grafana"
PACKAGES = ("@grafana/schema@13.2.3", "typescript@5.9.3")
OPTIONS = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext")

# Enumerations take their members alone in TypeScript; a file holds the members' texts.
HEAD = """import type { Dashboard } from "@grafana/schema";
type Plain<T> = T extends string ? (string extends T ? string : `${T}`)
  : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
export const board: Plain<Dashboard> = """


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Grafana's types and a compiler."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    try:
        done = subprocess.run(
            ["npm", "install", *options, *PACKAGES],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        said = done.stderr if done.returncode else ""
    except subprocess.TimeoutExpired:
        said = "nothing came within two minutes"
    if said:
        pytest.skip(f"npm reaches no registry: {said.strip()[-300:]}")
    return folder


def complaints(folder: Path, boards: Mapping[str, dict[str, Any]]) -> dict[str, list[str]]:
    """What the compiler has to say of each dashboard, by name."""
    for name, board in boards.items():
        (folder / f"{name}.ts").write_text(f"{HEAD}{json.dumps(board)};\n", encoding="utf-8")
    command = [
        str(folder / "node_modules" / ".bin" / "tsc"),
        *OPTIONS,
        *(f"{one}.ts" for one in boards),
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=240
    )
    assert bool(done.returncode) == bool(done.stdout), done.stderr
    lines = [line for line in done.stdout.splitlines() if ".ts(" in line]
    return {name: [line for line in lines if line.startswith(f"{name}.ts(")] for name in boards}


def committed(name: str) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads((FILES / name).read_text(encoding="utf-8"))
    for variable in whole["templating"]["list"]:
        # Fields of another kind of variable, which the generator writes for all.
        for field in [field for field in variable if field.startswith("auto")]:
            del variable[field]
    return whole


@pytest.mark.services
def test_every_dashboard_is_one_to_grafana_and_a_slip_is_found(packages: Path) -> None:
    names = sorted(file.name for file in FILES.iterdir())
    boards = {name.removesuffix(".json"): committed(name) for name in names}
    assert len(boards) == 3
    field, value = committed(names[0]), committed(names[0])
    field["panels"][1]["gridPoss"] = field["panels"][1].pop("gridPos")
    value["panels"][1]["fieldConfig"]["defaults"]["thresholds"]["mode"] = "absolut"
    said = complaints(packages, {**boards, "field": field, "value": value})
    assert {name: said[name] for name in boards} == {name: [] for name in boards}
    assert "gridPoss" in said["field"][0]
    assert "absolut" in said["value"][0]
