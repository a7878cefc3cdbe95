"""Pages per second of an offline run on one core, and where the time goes.

Runs two arms over the same simulated users, log written: the order of the matrix factorization, and
LinUCB with MMR learning at day barriers. The limit is the simulator alone, stepped with slates that
cost nothing to choose; every ratio is of one run on one machine.

    python benchmarks/simulate.py [--quick] [--json]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from harness import Bars, LimitFigure, Row, print_rows
from matinee_platform.offline.arm_process import run_arm
from matinee_platform.offline.arm_run import ArmResult
from matinee_platform.offline.prepare import prepare, world_parameters
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_simulator.simulation import Simulation
from matinee_simulator.world import World


def settings(users: int, days: int) -> ExperimentSettings:
    """Two arms over the same users, K = 100, 10 slots."""
    return parse_settings(
        {
            "name": "benchmark",
            "users": users,
            "days": days,
            "design": "paired",
            "arms": [
                {"name": "mf_order", "weight": 0.5, "policy": {"kind": "score_order"}},
                {
                    "name": "lin_ucb",
                    "weight": 0.5,
                    "policy": {"kind": "lin_ucb", "diversity": 0.02},
                },
            ],
        }
    )


def simulator_alone(experiment: ExperimentSettings, run: Path) -> float:
    """Pages per second of the simulated users alone, shown slates drawn in advance."""
    world = World.load(run / "world" / "world.npz")
    users = np.arange(experiment.users, dtype=np.int64)
    simulation = Simulation(
        world, users, seed=experiment.seed, parameters=world_parameters(experiment)
    )
    rng = np.random.default_rng(0)
    offsets = rng.integers(0, world.n_items, experiment.users).astype(np.int32)
    steps = np.arange(experiment.slots, dtype=np.int32)
    pages, seconds = 0, 0.0
    for day in range(experiment.days):
        start = time.perf_counter()
        units = simulation.begin_day(day)
        page = 0
        while units.size:
            slates = (offsets[units, None] + 37 * day + 11 * page + steps) % world.n_items
            feedback = simulation.step_page(units, slates.astype(np.int32), page)
            pages += units.size
            units, page = units[~feedback.left], page + 1
        simulation.end_day()
        seconds += time.perf_counter() - start
    return pages / seconds


def measure(users: int, days: int) -> dict[str, Any]:
    """Run both arms once to compile, once to measure."""
    with tempfile.TemporaryDirectory() as folder:
        warm, run = Path(folder) / "warm", Path(folder) / "run"
        for path, experiment in [(warm, settings(50, 2)), (run, settings(users, days))]:
            shared = prepare(experiment)
            shared.save(path)
            results = [run_arm(experiment, path, arm, lambda day: None) for arm in range(2)]
            limit = simulator_alone(experiment, path)
        return {
            "data": shared.data,
            "users": users,
            "days": days,
            "simulator_alone_pages_per_s": limit,
            "arms": {result.arm: _figures(result, limit) for result in results},
            "lin_ucb_over_mf_order": _rate(results[1]) / _rate(results[0]),
        }


def rows(figures: dict[str, Any]) -> list[Row]:
    """The figures as lines of the table of all benchmarks."""
    size = f"{figures['users']:,} users, {figures['days']} days"
    order, lin_ucb = (figures["arms"][arm]["pages_per_s"] for arm in ("mf_order", "lin_ucb"))
    alone = figures["simulator_alone_pages_per_s"]
    return [
        Row(
            name="simulated pages with log, order of the matrix factorization",
            size=size,
            unit="pages/s",
            ours=order,
            limit=LimitFigure("the simulator alone", alone),
        ),
        Row(
            name="simulated pages with log, LinUCB with MMR that learns",
            size=size,
            unit="pages/s",
            ours=lin_ucb,
            limit=LimitFigure("the same run in the order of the matrix factorization", order),
            bars=Bars(limit=0.25),
        ),
    ]


def _figures(result: ArmResult, limit: float) -> dict[str, Any]:
    timing = result.timing
    shares = {stage: spent / timing.seconds for stage, spent in timing.stage_seconds.items()}
    return {
        "pages": result.pages,
        "pages_per_s": _rate(result),
        "share_of_simulator_alone": _rate(result) / limit,
        "stage_share": dict(sorted(shares.items(), key=lambda item: -item[1])),
    }


def _rate(result: ArmResult) -> float:
    return result.pages / result.timing.seconds


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a smaller run, for a first look")
    parser.add_argument("--tiny", action="store_true", help="smallest run; figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    users, days = (60, 2) if arguments.tiny else (1_500, 8) if arguments.quick else (6_000, 21)
    with threadpool_limits(1):
        figures = measure(users, days)
    if arguments.json:
        print_rows(rows(figures), as_json=True, **figures)
        return
    print(f"{figures['data']}; {figures['users']:,} users, {figures['days']} days, one core")
    print(f"simulator alone      {figures['simulator_alone_pages_per_s']:>10,.0f} pages/s")
    for arm, row in figures["arms"].items():
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in row["stage_share"].items())
        print(
            f"{arm:<20} {row['pages_per_s']:>10,.0f} pages/s   "
            f"{row['share_of_simulator_alone']:.2f} of the simulator alone   ({shares})"
        )
    print(f"lin_ucb / mf_order   {figures['lin_ucb_over_mf_order']:>10.2f}")


if __name__ == "__main__":
    main()
