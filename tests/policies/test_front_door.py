import json
import subprocess
import sys

import matinee_policies

IMPORTED = """
import json, sys
import numpy, numba
before = {name.partition(".")[0] for name in sys.modules}
scipy_before = {name for name in sys.modules if name.startswith("scipy.")}
import matinee_policies
after = {name.partition(".")[0] for name in sys.modules}
scipy_after = {name for name in sys.modules if name.startswith("scipy.")}
own = sorted(after - before - set(sys.stdlib_module_names))
print(json.dumps([own, sorted(scipy_after - scipy_before)]))
"""


def test_the_front_door_is_sorted_and_complete() -> None:
    names = matinee_policies.__all__
    constants = [name for name in names if name.isupper()]
    classes = [name for name in names if name[0].isupper() and not name.isupper()]
    functions = [name for name in names if name[0].islower()]
    assert names == sorted(constants) + sorted(classes) + sorted(functions)
    assert len(set(names)) == len(names)
    public = {
        name
        for name, value in vars(matinee_policies).items()
        if not name.startswith("_") and type(value).__name__ != "module"
    }
    assert public == set(names)


def test_importing_it_loads_numpy_and_numba_only() -> None:
    """Numba itself looks at the version of scipy, if there is one; nothing more is loaded."""
    answer = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout) == [["matinee_policies"], []]
