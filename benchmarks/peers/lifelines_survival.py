"""lifelines: survival curves, restricted means and log-rank of two made-up arms, as JSON.

    .peers/lifelines/bin/python -W ignore -m peers.lifelines_survival

No benchmark: lifelines cannot live beside pandas 3, so it prints, in its own environment, what
tests/platform/test_inference_survival.py holds ours to.
"""

import importlib.metadata
import json
from typing import Any

import numpy as np
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from lifelines.utils import restricted_mean_survival_time

# Units whose event was on day 0, 1, ...; units last seen on that day without one.
ARMS = {
    "treatment": ([0, 9, 0, 14, 6, 5, 0, 4], [0, 2, 3, 0, 1, 5, 20, 31]),
    "control": ([0, 15, 8, 11, 9, 7, 2, 3], [0, 1, 0, 4, 2, 6, 18, 14]),
}
HORIZON = 6


def main() -> None:
    """Print the answers."""
    columns = {name: units(*counts) for name, counts in ARMS.items()}
    answers: dict[str, Any] = {"version": importlib.metadata.version("lifelines")}
    for name, (days, happened) in columns.items():
        curve = KaplanMeierFitter().fit(days, happened, timeline=range(8))
        ends = curve.confidence_interval_.to_numpy()
        answers[name] = {
            "survival": curve.survival_function_.iloc[:, 0].tolist(),
            "low": ends[:, 0].tolist(),
            "high": ends[:, 1].tolist(),
            "restricted_mean": float(restricted_mean_survival_time(curve, t=HORIZON)),
        }
    (first, ended), (second, gone) = columns.values()
    test = logrank_test(first, second, ended, gone)
    answers["log_rank"] = {"statistic": float(test.test_statistic), "p_value": float(test.p_value)}
    print(json.dumps(answers, indent=2))


def units(events: list[int], censored: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """One row per unit: its days, and whether the event ended them."""
    day = np.arange(len(events))
    days = np.concatenate([np.repeat(day, events), np.repeat(day, censored)])
    happened = np.repeat([True, False], [sum(events), sum(censored)])
    return days, happened


if __name__ == "__main__":
    main()
