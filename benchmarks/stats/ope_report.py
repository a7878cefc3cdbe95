"""S9 and the tables of off-policy estimators: logs of a softmax, and some of uniform draws."""

from dataclasses import replace

from promises import Promise
from stats.effort import Effort
from stats.ope_truth import measure_truths, promises
from stats.ope_truth_table import tables
from stats.ope_world import LOGGING, UNIFORM


def measure(effort: Effort) -> tuple[list[Promise], str]:
    """Promises, and the tables in Markdown."""
    found = measure_truths(effort, logs=effort.logs, logging=LOGGING)
    # Little of what is drawn uniformly is what another policy would show: fewer logs, longer ones.
    longer = replace(effort, log_users=8 * effort.log_users)
    uniform = measure_truths(longer, logs=effort.logs // 16, logging=UNIFORM)
    return promises(found, effort), tables(found, uniform)
