"""Pages per CPU second of an offline run, and where the time goes.

Runs two arms over the same simulated users, log and checkpoints written: the order of the matrix
factorization, and LinUCB with MMR learning at day barriers. Rates are per CPU second of the days,
system calls included; what is prepared once, before the first day, is not. Told beside them: the
simulator alone, stepped with slates that cost nothing to choose. Shares of stages are of wall time.

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
from matinee_platform.offline.arm_process import users_of
from matinee_platform.offline.arm_run import ArmResult, ArmRun
from matinee_platform.offline.prepare import (
    draw_roster,
    load_prepared,
    prepare,
    world_parameters,
)
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_simulator.simulation import Simulation
from matinee_simulator.world import World

ASKED = 40_000
"""Pages per CPU second asked of the order of the matrix factorization."""

GOAL = 100_000
"""What would be better still."""

ASKED_AT = "46 to 51"
"""GFLOP/s of a float64 matrix product on one core of the machine that the rate was asked of."""


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
    """Pages per CPU second of the simulated users alone, shown slates drawn in advance."""
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
        start = time.process_time()
        units = simulation.begin_day(day)
        page = 0
        while units.size:
            slates = (offsets[units, None] + 37 * day + 11 * page + steps) % world.n_items
            feedback = simulation.step_page(units, slates.astype(np.int32), page)
            pages += units.size
            units, page = units[~feedback.left], page + 1
        simulation.end_day()
        seconds += time.process_time() - start
    return pages / seconds


def timed_arm(experiment: ExperimentSettings, path: Path, arm: int) -> tuple[ArmResult, float]:
    """Run one arm of a prepared run; its result, and the CPU seconds of its days."""
    roster = draw_roster(experiment)
    run = ArmRun(
        experiment,
        experiment.arms[arm],
        users=users_of(experiment, roster, arm),
        roster=roster,
        shared=load_prepared(path),
        run=path,
    )
    start = time.process_time()
    result = run.run(lambda day: None)
    return result, time.process_time() - start


def matrix_product_rate() -> float:
    """GFLOP/s of a float64 matrix product on one core: how fast the machine is, now."""
    size, best = 768, float("inf")
    matrix = np.random.default_rng(0).random((size, size))
    for _ in range(12):
        start = time.process_time()
        matrix @ matrix
        best = min(best, time.process_time() - start)
    return 2.0 * size**3 / best / 1e9


def measure(users: int, days: int) -> dict[str, Any]:
    """Run both arms once to compile, once to measure."""
    with tempfile.TemporaryDirectory() as folder:
        warm, run = Path(folder) / "warm", Path(folder) / "run"
        for path, experiment in [(warm, settings(50, 2)), (run, settings(users, days))]:
            shared = prepare(experiment)
            shared.save(path)
            results = [timed_arm(experiment, path, arm) for arm in range(2)]
            alone = simulator_alone(experiment, path)
        return {
            "data": shared.data,
            "users": users,
            "days": days,
            "simulator_alone_pages_per_s": alone,
            "matrix_product_gflops": matrix_product_rate(),
            "arms": {result.arm: _figures(result, cpu, alone) for result, cpu in results},
        }


def rows(figures: dict[str, Any]) -> list[Row]:
    """The figures as lines of the table of all benchmarks."""
    size = f"{figures['users']:,} users, {figures['days']} days"
    order, lin_ucb = (figures["arms"][arm]["pages_per_s"] for arm in ("mf_order", "lin_ucb"))
    alone, machine = figures["simulator_alone_pages_per_s"], figures["matrix_product_gflops"]
    return [
        Row(
            name="simulated pages with log, order of the matrix factorization",
            size=size,
            unit="pages/s",
            ours=order,
            limit=LimitFigure("the rate asked", ASKED),
            bars=Bars(limit=1.0, limit_goal=GOAL / ASKED),
            note=f"The simulator alone: {alone:,.0f} pages/s. The machine: {machine:.0f} GFLOP/s "
            f"in a float64 matrix product on one core; {ASKED_AT} where the rate was set.",
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


def _figures(result: ArmResult, cpu: float, alone: float) -> dict[str, Any]:
    timing = result.timing
    shares = {stage: spent / timing.seconds for stage, spent in timing.stage_seconds.items()}
    return {
        "pages": result.pages,
        "pages_per_s": result.pages / cpu,
        "us_per_page": 1e6 * cpu / result.pages,
        "share_of_simulator_alone": result.pages / cpu / alone,
        "stage_share": dict(sorted(shares.items(), key=lambda item: -item[1])),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a smaller run, for a first look")
    parser.add_argument("--tiny", action="store_true", help="smallest run; figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    users, days = (60, 2) if arguments.tiny else (5_000, 14) if arguments.quick else (20_000, 28)
    with threadpool_limits(1):
        figures = measure(users, days)
    if arguments.json:
        print_rows(rows(figures), as_json=True, **figures)
        return
    print(f"{figures['data']}; {figures['users']:,} users, {figures['days']} days")
    print_rows(rows(figures), as_json=False)
    for arm, row in figures["arms"].items():
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in row["stage_share"].items())
        print(f"{arm}: {row['us_per_page']:.1f} us a page ({shares})")


if __name__ == "__main__":
    main()
