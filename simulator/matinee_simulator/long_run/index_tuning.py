"""Tune the long-run index by the cross-entropy method, on training seeds.

What is maximised is sessions per user over the horizon, which a user's D28 is one day of: it
counts every visit, so that the same users tell a difference with half of the error. All points
are played by the same users with the same luck.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.config import check_whole
from matinee_policies.errors import ConfigError, DataError
from matinee_simulator.long_run.cross_entropy import CrossEntropy, Generation
from matinee_simulator.long_run.frozen_index import FrozenIndex
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import Sight, index_order, play
from matinee_simulator.world import World

TRAINING_SEEDS = (900_001, 900_002, 900_003)
"""Seeds to tune on; none that anything is measured on."""

OBJECTIVE = "sessions per user"

LOW = (0.0, 0.0, 0.0)
HIGH = (8.0, 2.0, 0.5)
"""Box of (ws, wh, mmr)."""

_LEAST_DAYS = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Which users a point is played by.

    Attributes:
        seeds: of the runs.
        users: per seed.
        days: per seed, at least 28.
        slots: of a page.
        candidates: of a page.
    """

    seeds: tuple[int, ...] = TRAINING_SEEDS
    users: int = 1_000
    days: int = 60
    slots: int = 10
    candidates: int = 100

    def __post_init__(self) -> None:
        check_whole("users", self.users, low=2)
        check_whole("days", self.days, low=_LEAST_DAYS)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ConfigError(f"seeds must be distinct, one at least, got {self.seeds}")


def tune_index(
    world: World,
    sight: Sight,
    *,
    parameters: Parameters,
    training: Training,
    search: CrossEntropy | None = None,
    data: str = "",
    checkpoint: Path | None = None,
    report: Callable[[list[Generation]], None] = lambda generations: None,
) -> FrozenIndex:
    """Find the constants of the index.

    Args:
        world: the truth.
        sight: what the platform knows.
        parameters: of the users.
        training: who plays.
        search: how; by default ten generations of 16 points.
        data: the world's data, in words.
        checkpoint: file from which an interrupted search goes on.
        report: called after each generation with all so far.

    Raises:
        DataError: the checkpoint is of another search.
    """
    search = search or CrossEntropy(low=LOW, high=HIGH)
    audiences = [
        sight.meet(world, users=training.users, seed=seed, parameters=parameters)
        for seed in training.seeds
    ]

    def score(point: FloatArray) -> float:
        ranker = index_order(*(float(value) for value in point))
        figures = [
            play(
                world,
                sight,
                ranker,
                users=training.users,
                days=training.days,
                seed=seed,
                parameters=parameters,
                slots=training.slots,
                candidates=training.candidates,
                audience=audience,
                keep_sessions=False,
            ).sessions_per_user()
            for seed, audience in zip(training.seeds, audiences, strict=True)
        ]
        return float(np.mean([figure.value for figure in figures]))

    identity = _identity(world, parameters, training, search)
    done = _done(checkpoint, identity)

    def after(generations: list[Generation]) -> None:
        if checkpoint is not None:
            state = {"search": identity, "generations": [asdict(g) for g in generations]}
            checkpoint.write_text(json.dumps(state), encoding="utf-8")
        report(generations)

    generations = search.maximise(score, done=done, report=after)
    # The mean of the last generation: the best single draw would be the luckiest one too.
    ws, wh, mmr = (round(value, 4) for value in generations[-1].mean)
    return FrozenIndex(
        satisfaction_weight=ws,
        satiation_price=wh,
        mmr_price=mmr,
        training_seeds=training.seeds,
        objective=OBJECTIVE,
        score=score(np.array([ws, wh, mmr])),
        users=training.users,
        days=training.days,
        data=data,
        parameters=parameters_version(parameters),
        generations=tuple(asdict(generation) for generation in generations),
    )


def parameters_version(parameters: Parameters) -> str:
    """16 hex digits that name these parameters."""
    text = json.dumps(parameters.to_json(), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _identity(
    world: World, parameters: Parameters, training: Training, search: CrossEntropy
) -> str:
    parts: Sequence[object] = (
        world.version,
        parameters_version(parameters),
        asdict(training),
        # A longer search begins with the same generations.
        {**asdict(search), "generations": None},
    )
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()


def _done(checkpoint: Path | None, identity: str) -> list[Generation]:
    if checkpoint is None or not checkpoint.exists():
        return []
    try:
        state = json.loads(checkpoint.read_text(encoding="utf-8"))
        is_same = state["search"] == identity
        found = [_generation(values) for values in state["generations"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(checkpoint, rule=f"must hold a search ({error})") from None
    if not is_same:
        raise DataError(checkpoint, rule="must be of the same world, users and search")
    return found


def _generation(values: dict[str, Any]) -> Generation:
    return Generation(
        mean=tuple(values["mean"]),
        sd=tuple(values["sd"]),
        best=tuple(values["best"]),
        score=float(values["score"]),
        elite_score=float(values["elite_score"]),
    )
