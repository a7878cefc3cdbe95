import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import matinee_policies

IMPORTED = """
import json, sys
import numpy, numba
before = {name.partition(".")[0] for name in sys.modules}
scipy_before = {name for name in sys.modules if name.startswith("scipy.")}
from matinee_policies import *
after = {name.partition(".")[0] for name in sys.modules}
scipy_after = {name for name in sys.modules if name.startswith("scipy.")}
own = sorted(after - before - set(sys.stdlib_module_names))
print(json.dumps([own, sorted(scipy_after - scipy_before)]))
"""

ERRORS_ALONE = """
import json, sys
import matinee_policies.errors
print(json.dumps(sorted({"numpy", "numba"} & set(sys.modules))))
"""


def test_the_front_door_is_sorted_and_complete() -> None:
    names = matinee_policies.__all__
    constants = [name for name in names if name.isupper()]
    classes = [name for name in names if name[0].isupper() and not name.isupper()]
    functions = [name for name in names if name[0].islower()]
    assert names == sorted(constants) + sorted(classes) + sorted(functions)
    assert len(set(names)) == len(names)
    assert set(names) <= set(dir(matinee_policies))


def test_a_name_comes_from_where_type_checkers_are_told() -> None:
    tree = ast.parse(Path(matinee_policies.__file__).read_text(encoding="utf-8"))
    told = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("matinee_policies.")
        for alias in node.names
    }
    assert set(told) == set(matinee_policies.__all__)
    for name, module in told.items():
        assert getattr(matinee_policies, name) is getattr(sys.modules[str(module)], name)


def test_a_name_that_is_not_there_is_told() -> None:
    with pytest.raises(AttributeError, match="no attribute 'LinUBC'"):
        _ = matinee_policies.LinUBC  # type: ignore[attr-defined]


def test_all_of_its_names_load_numpy_and_numba_only() -> None:
    """Numba itself looks at the version of scipy, if there is one; nothing more is loaded."""
    assert _printed(IMPORTED) == [["matinee_policies"], []]


def test_the_package_alone_loads_neither() -> None:
    assert _printed(ERRORS_ALONE) == []


def _printed(program: str) -> object:
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout)
