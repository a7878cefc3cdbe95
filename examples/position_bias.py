"""Does it pay to correct learning for position bias?

    python examples/position_bias.py OUT [--seeds 4] [--users 1500] [--days 10]

The same simulated users are shown to linear policies that learn without correction, with the
users' true examination, and with what the arm estimates from its own exploration. Every seed is a
world of its own with the same draws for all. Printed are clicks per impression, the difference to
no correction with its standard error over seeds, and the coefficient that the policy ends up giving
to the slot, which a value of items should not need. Some minutes; folders of runs are left in OUT.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings
from matinee_policies.features import SLOT_FEATURE
from matinee_policies.snapshot import Snapshot
from matinee_simulator.parameters import Parameters

SLOTS = 10
KINDS = ("none", "known", "estimated")
ARMS = (
    {"name": "lin_ucb", "policy": {"kind": "lin_ucb", "alpha": 0.1, "floor": 0.1}},
    {"name": "epsilon_greedy", "policy": {"kind": "epsilon_greedy", "epsilon": 0.3}},
)


def settings_of(kind: str, *, seed: int, users: int, days: int) -> dict[str, Any]:
    """An experiment whose arms learn clicks with one kind of correction."""
    curve = (Parameters().examination_persistence ** np.arange(SLOTS)).tolist()
    bias = curve if kind == "known" else kind
    return {
        "name": "position_bias",
        "seed": seed,
        "users": users,
        "days": days,
        "slots": SLOTS,
        "candidates": 100,
        "design": "paired",
        "world": {"arrival_days": 2},
        "reward": {"engagement": {"click": 1.0, "watch": 0.0, "position_bias": bias}},
        "arms": [dict(arm) for arm in ARMS],
    }


def main() -> None:
    """Run all kinds on all seeds, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--users", type=int, default=1_500)
    parser.add_argument("--days", type=int, default=10)
    options = parser.parse_args()
    rates = np.empty((len(KINDS), len(ARMS), options.seeds))
    slot = np.empty_like(rates)
    for at, kind in enumerate(KINDS):
        for seed in range(options.seeds):
            run = options.out / f"{kind}-{seed}"
            values = settings_of(kind, seed=101 + seed, users=options.users, days=options.days)
            card = run_experiment(parse_settings(values), run, workers=1, overwrite=True)
            for number, arm in enumerate(ARMS):
                found = card["arms"][arm["name"]]
                rates[at, number, seed] = found["clicks"] / found["impressions"]
                last = sorted((run / "snapshots" / str(arm["name"])).glob("*.npz"))[-1]
                slot[at, number, seed] = Snapshot.load(last).arrays["theta"][SLOT_FEATURE]
    for number, arm in enumerate(ARMS):
        print(arm["name"])
        for at, kind in enumerate(KINDS):
            gain = rates[at, number] - rates[0, number]
            error = gain.std(ddof=1) / np.sqrt(options.seeds)
            print(
                f"  {kind:10} clicks per impression {rates[at, number].mean():.4f}, to none "
                f"{gain.mean():+.4f} +- {error:.4f}; slot's coefficient "
                f"{slot[at, number].mean():+.4f} +- "
                f"{slot[at, number].std(ddof=1) / np.sqrt(options.seeds):.4f}"
            )


if __name__ == "__main__":
    main()
