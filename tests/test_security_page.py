"""The page of security names each promise once, and tests that are there."""

import ast
import importlib.util
import re
import tomllib
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (X\d+) \|(.*)\|$", re.MULTILINE)
NOT_YET = {"X12"}


@cache
def names_in(path: Path) -> frozenset[str]:
    """Tests of a file; those of its classes, inherited ones too, as `Class::test`."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            for each in ast.walk(node):
                if isinstance(each, ast.FunctionDef):
                    found.add(f"{node.name}::{each.name}")
            for base in node.bases:
                suite = suite_of(tree, base.id) if isinstance(base, ast.Name) else frozenset()
                found |= {f"{node.name}::{name}" for name in suite}
    return frozenset(found)


def suite_of(tree: ast.Module, name: str) -> frozenset[str]:
    """Methods of a class that a file imports."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and name in {one.name for one in node.names}:
            if not str(node.module).startswith("matinee_"):
                break
            spec = importlib.util.find_spec(str(node.module))
            assert spec is not None
            assert spec.origin is not None
            inherited = names_in(Path(spec.origin))
            return frozenset(
                one.removeprefix(f"{name}::") for one in inherited if one.startswith(f"{name}::")
            )
    return frozenset()


def test_each_promise_names_tests_that_are_there() -> None:
    rows = ROW.findall(PAGE)
    assert [number for number, _ in rows] == [f"X{number}" for number in range(1, 16)]
    for number, text in rows:
        named = re.findall(r"`(tests/\S+?\.py)::(\S+?)`", text)
        assert bool(named) != (number in NOT_YET), number
        for file, test in named:
            assert test in names_in(ROOT / file), f"{number}: {file}::{test}"


def test_vowpal_wabbit_is_new_enough() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    (one,) = [one for one in wanted if one.name == "vowpalwabbit"]
    assert not one.specifier.contains(Version("9.11.3"))
    assert one.specifier.contains(Version("9.11.4"))
