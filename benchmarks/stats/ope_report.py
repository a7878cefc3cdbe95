"""S9 and the tables of off-policy estimators: logs of a softmax, and some of uniform draws."""

from promises import Promise
from stats.effort import Effort
from stats.ope_truth import measure_truths, promises
from stats.ope_truth_table import tables
from stats.ope_world import LOGGING, UNIFORM


def measure(effort: Effort) -> tuple[list[Promise], str]:
    """Promises, and the tables in Markdown."""
    found = measure_truths(effort, logs=effort.logs, logging=LOGGING)
    uniform = measure_truths(effort, logs=effort.logs // 4, logging=UNIFORM)
    return promises(found, effort), tables(found, uniform)
