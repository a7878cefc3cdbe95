"""What a budget of exploration gains where items arrive, spent evenly or on new items.

The world and the policy are those of T12 (`validation/exploration_pays.py`): some new items are
hits that nobody could have known. All arms of a seed meet the same users with the same luck.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from matinee_platform.data_settings import DataSettings
from matinee_platform.offline.prepare import prepare
from matinee_platform.settings import parse_settings
from matinee_platform.studies.paired import Difference, difference
from matinee_platform.studies.runs import clicks_by_unit, logged_run

BUDGET = 0.1
"""Share of the slates that explore."""

_GREEDY = {"form": "hybrid", "item_features": [0], "alpha": 0.0, "floor": 0.0, "l2": 25.0}
_EXPLORERS = ("uniform", "new_items")
_WORLD = {"arriving_share": 0.9, "item_arrivals": 2.0, "arrival_days": 60, "click_appeal": 1.4}


def run(
    *,
    seeds: Sequence[int] = (1, 2, 3, 4),
    users: int = 700,
    days: int = 60,
    data: DataSettings | None = None,
    workers: int = 1,
    announce: Callable[[str], None] = lambda line: None,
) -> list[Difference]:
    """Clicks per user of the greedy policy, of both budgets, and of one beside the other.

    Args:
        seeds: one world and population each.
        users: of each seed.
        days: of each run.
        data: settings of the data; None takes `MATINEE_DATA`, else the drawn catalogue.
        workers: processes.
        announce: told of each seed.

    Raises:
        MatineeError: on data or sizes that do not fit.
    """
    names = ("greedy", *_EXPLORERS)
    clicks: dict[str, list[Any]] = {name: [] for name in names}
    for seed in seeds:
        announce(f"New items, seed {seed}")
        settings = parse_settings(
            {
                "name": "new_items",
                "seed": seed,
                "users": users,
                "days": days,
                "candidates": 150,
                "fresh_candidates": 110,
                "regret_every": 1_000_000,
                "design": "paired",
                "world": _WORLD,
                "reward": {"engagement": {"click": 1.0, "watch": 0.0}},
                "data": None if data is None else data.model_dump(mode="json"),
                "arms": [{"name": name, "policy": _policy(name)} for name in names],
            }
        )
        with logged_run(settings, prepare(settings), workers=workers) as folder:
            found = {name: clicks_by_unit(folder, name, days=days) for name in names}
        units = sorted({unit for one in found.values() for unit in one})
        for name in names:
            clicks[name].append(np.array([found[name].get(unit, 0.0) for unit in units]))
    pairs = (("greedy", "uniform"), ("greedy", "new_items"), _EXPLORERS)
    return [
        difference(f"clicks per user, {one} and {other}", clicks[one], clicks[other])
        for one, other in pairs
    ]


def _policy(name: str) -> dict[str, Any]:
    if name == "greedy":
        return {"kind": "lin_ucb", **_GREEDY}
    greedy = {"kind": "lin_ucb", "weight": 1.0 - BUDGET, "policy": _GREEDY}
    return {"kind": "mixture", "bases": [greedy, {"kind": name, "weight": BUDGET}]}
