"""What a live decision costs, from ask to log row, by batch size; the limit is the policy alone.

The service's runtime decides pages of 100 candidates and 10 slots by LinUCB with MMR, for units in
memory, from candidates and scores that the caller names; a batch is asked for in one turn of the
event loop. Beside it stand the same contexts through `Engine.decide`, and the policy alone.

Times are the least of many turns, wall clock: on a busy machine that is what one turn takes when
nobody interrupts it. What asyncio itself takes to start and gather so many tasks is told apart.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from harness import LimitFigure, Row, print_rows
from matinee_platform.clock import SystemClock
from matinee_platform.context_builder import ContextBuilder
from matinee_platform.decision_keys import decision_keys
from matinee_platform.engine import Engine
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.model_fit import fit_serving_model
from matinee_platform.plays import PlayScale
from matinee_platform.reward_settings import RewardSettings
from matinee_platform.serving.arm_runtime import ArmRuntime
from matinee_platform.serving.asks import Ask
from matinee_platform.serving.bundle import LoadedBundle, Manifest, Plays, load_bundle, write_bundle
from matinee_platform.serving.packing import name_candidates
from matinee_platform.serving.runtime import LiveRuntime, Running
from matinee_platform.serving.work import Work
from matinee_platform.settings import SourceSettings
from matinee_policies.candidates.source_data import SourceData, Units
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.records import OutcomeBatch
from matinee_policies.registry import build_policy

SLOTS, CANDIDATES, UNITS = 10, 100, 256
BATCHES = (1, 4, 8, 16, 32)
POLICY = {"kind": "lin_ucb", "alpha": 0.1, "diversity": 0.05}


def deployed(folder: Path, *, items: int) -> LoadedBundle:
    """A bundle over drawn data, whose policy has learned from drawn rewards."""
    data = synthetic_dataset(seed=1, n_users=300, n_items=items)
    model = fit_serving_model(
        SourceData(
            catalogue=data.catalogue,
            interactions=data.interactions,
            known_items=data.catalogue.ids,
            item_labels=(),
            units=Units(
                keys=np.zeros(0, dtype=np.uint64),
                histories=lambda: data.interactions,
                key_of=lambda ids: np.zeros(len(ids), dtype=np.uint64),
                example="",
            ),
        ),
        sources={"mf": SourceSettings(kind="biased_als")},
        seed=1,
    )
    dimension = len(FEATURE_NAMES)
    policy = build_policy(
        "lin_ucb", {k: v for k, v in POLICY.items() if k != "kind"}, dimension=dimension
    )
    rng = np.random.default_rng(1)
    features = rng.random((2_000, SLOTS, dimension), dtype=np.float32)
    policy.learn(
        OutcomeBatch(
            component="engagement",
            first=True,
            features=features,
            rewards=features[:, :, 1].astype(np.float64) * rng.random((2_000, SLOTS)),
            shown=np.ones((2_000, SLOTS), dtype=np.bool_),
            propensities=np.ones((2_000, SLOTS)),
            shards=np.zeros(2_000, dtype=np.uint8),
        )
    )
    snapshot = policy.snapshot()
    scale = PlayScale.of(data.interactions.matrix.data)
    manifest = Manifest(
        name="bench",
        policy=POLICY,
        dimension=dimension,
        slots=SLOTS,
        candidates=CANDIDATES,
        rest=50,
        source="mf",
        arm="bench",
        plays=Plays(mean=scale.mean, sd=scale.sd, low=scale.low, high=scale.high),
        reward=RewardSettings(),
        snapshot_hash=snapshot.content_hash,
        origin={},
        versions={},
        files={},
    )
    ids = tuple(f"film-{number}" for number in data.catalogue.ids.tolist())
    write_bundle(folder, manifest, snapshot=snapshot, model=model, item_ids=ids, keys=None)
    return load_bundle(folder, "bench")


class OneArm:
    """Assigns every unit to the one arm."""

    bucket = 7
    arm = "bench"

    def assign(self, experiment: str, unit: str) -> "OneArm":
        """Always the same."""
        return self


def asks_of(bundle: LoadedBundle, *, count: int) -> list[Ask]:
    """Requests of distinct units, each with its own candidates and scores."""
    rng = np.random.default_rng(2)
    n = len(bundle.item_ids)
    found = []
    for number in range(count):
        chosen = rng.choice(n, CANDIDATES, replace=False)
        found.append(
            Ask(
                experiment="home",
                unit=f"unit-{number}",
                decision_id=int(rng.integers(1, 2**63)),
                body_digest=bytes(16),
                candidates=[bundle.item_ids[row] for row in chosen],
                scores=rng.uniform(0.1, 0.9, CANDIDATES).tolist(),
            )
        )
    return found


def least(call: Callable[[], Any], *, turns: int) -> float:
    """Least time of a call, in microseconds."""
    best = float("inf")
    for _ in range(turns):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


async def least_turn(asks: list[Ask], decide: Callable[[Ask], Any], *, turns: int) -> float:
    """Least time of one turn of the loop that asks all at once, in microseconds."""
    best = float("inf")
    for _ in range(turns):
        start = time.perf_counter()
        await asyncio.gather(*(decide(ask) for ask in asks))
        best = min(best, time.perf_counter() - start)
    return best * 1e6


async def measure(
    bundle: LoadedBundle, *, turns: int, batches: tuple[int, ...]
) -> list[dict[str, float]]:
    """Microseconds per decision, one row per batch size."""
    runtime = LiveRuntime(
        bundles=lambda name: bundle,
        pseudonym_secret=bytes(32),
        draws=lambda experiment, arm: bytes(16),
        clock=SystemClock(),
        units_in_memory=UNITS,
    )
    experiment = LiveExperiment.model_validate(
        {
            "key": "home",
            "salt": "s",
            "slots": SLOTS,
            "candidates": CANDIDATES,
            "arms": [{"name": "bench", "bundle": "bench"}],
        }
    )
    await runtime.apply([Running(experiment, 0)], OneArm())
    arm = runtime.arms[0]
    asks = asks_of(bundle, count=UNITS)
    await settle(runtime, arm, asks)
    rows = []
    for size in batches:
        some = asks[:size]
        times = {
            "runtime": await least_turn(some, runtime.decide, turns=turns),
            "tasks of asyncio": await least_turn(some, lambda ask: asyncio.sleep(0), turns=turns),
            **stages(arm, some, turns=turns),
        }
        rows.append({"batch": size, **{name: value / size for name, value in times.items()}})
    await runtime.close()
    return rows


async def settle(runtime: LiveRuntime, arm: ArmRuntime, asks: list[Ask]) -> None:
    """Bring the units into memory, in the middle of a visit, with some history."""
    rng = np.random.default_rng(3)
    memory = arm.memory
    if memory is None:
        return
    for ask in asks:
        await runtime.decide(ask)
    for unit in memory._units.values():
        states = memory.fold.states
        states.genre_history[unit.row] = rng.random(states.genre_history.shape[1])
        states.genre_exposure[unit.row] = rng.random(states.genre_exposure.shape[1])
        states.last_watched[unit.row] = rng.integers(0, 100)
        states.sessions[unit.row] = 3
        states.days_since[unit.row] = 2.0
        unit.last_decision = SystemClock().now_ms() + 3_600_000
        unit.visit_day = 3


def stages(arm: ArmRuntime, asks: list[Ask], *, turns: int) -> dict[str, float]:
    """Microseconds of the parts of a batch, each alone."""
    memory, model = arm.memory, arm.bundle.model
    if memory is None or model is None:
        return {}
    units = list(memory._units.values())

    def works() -> list[Work]:
        found = []
        for number, ask in enumerate(asks):
            work = Work(ask=ask, pseudonym=number, bucket=7, at=0, slots=SLOTS, unit=units[number])
            name_candidates(work, arm)
            found.append(work)
        return found

    given = works()
    page = arm.pages(given)[0]
    chosen = arm.choose(page)
    contexts, keys = page.contexts, page.keys
    engine = Engine(arm.policy, contexts=model.contexts("bench"), slots=SLOTS, secret=bytes(16))
    ids = np.array([ask.decision_id for ask in asks], dtype=np.uint64)
    state = page.state
    if state is None:
        return {}
    builder = ContextBuilder(model.items, model.traits)

    def timed(call: Callable[[], Any]) -> float:
        return least(call, turns=turns)

    return {
        "name and pack": timed(works),
        "pages (state, features)": timed(lambda: arm.pages(given)),
        "choose": timed(lambda: arm.choose(page)),
        "answers (rows)": timed(lambda: arm.answers(page, chosen)),
        "Engine.decide": timed(lambda: engine.decide(ids, state, page.candidates, page.scores)),
        "contexts alone": timed(lambda: builder.build(state, page.candidates, page.scores)),
        "policy alone": timed(lambda: arm.policy.decide(contexts, slots=SLOTS, keys=keys)),
        "keys alone": timed(lambda: decision_keys(bytes(16), ids)),
    }


def rows_of(figures: list[dict[str, float]]) -> list[Row]:
    """The same as rates."""
    return [
        Row(
            name="live decision",
            size=f"batch {row['batch']:.0f}",
            unit="decisions/s",
            ours=1e6 / (row["runtime"] - row["tasks of asyncio"]),
            limit=LimitFigure("the policy alone", 1e6 / row["policy alone"]),
            note=f"LinUCB + MMR, {CANDIDATES} candidates, {SLOTS} slots; least of many turns.",
        )
        for row in figures
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a smaller run, for a first look")
    parser.add_argument("--tiny", action="store_true", help="figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    items, turns = (600, 3) if options.tiny else (4_000, 300 if options.quick else 2_000)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        bundle = deployed(Path(folder), items=items)
        batches = BATCHES[:2] if options.tiny else BATCHES
        figures = asyncio.run(measure(bundle, turns=turns, batches=batches))
    if options.json:
        print_rows(rows_of(figures), as_json=True, stages=figures)
        return
    print("microseconds per decision")
    for name in figures[0]:
        print(f"{name:<26}" + "".join(f"{row[name]:>9.1f}" for row in figures))


if __name__ == "__main__":
    main()
