"""A process that runs arms loads what it runs with: no figures, no search, no statistics."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
import matinee_platform.offline.arm_process
arms = sorted(sys.modules)
import matinee_platform.offline.run
print(json.dumps([arms, sorted(sys.modules)]))
"""


def test_arms_and_runs_load_what_they_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    arms, whole = json.loads(done.stdout)
    assert "matinee_policies.registry" in arms
    assert set(arms).isdisjoint(["cmaes", "jinja2", "matplotlib", "scipy.optimize", "scipy.stats"])
    # A search for parameters is the one thing that loads all distributions of scipy.
    assert set(whole).isdisjoint(["cmaes", "scipy.stats", "statsmodels"])
