"""Speed of the Vowpal Wabbit policy beside Vowpal Wabbit driven from Python, in one run.

Single events come first (`vowpal_wabbit_events.py`), then whole pages of K = 100 candidates, 10
slots and 11 features. The peer of those does what its documentation shows: text by Python's
formatting, `predict` of a whole action set, `learn` of another per slot.
"""

import argparse
import importlib.metadata
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pylibvw
from threadpoolctl import threadpool_limits

from harness import FULL, QUICK, TINY, PeerFigure, Row, print_rows
from matinee_policies.arrays import Float32Array
from matinee_policies.records import ContextBatch, OutcomeBatch, SlateBatch
from matinee_policies.vowpal_wabbit import VowpalWabbit, VowpalWabbitConfig
from vowpal_wabbit_events import measure as measure_events

K, SLOTS, DIMENSION = 100, 10, 11
BATCH = 256
CONTEXT_FEATURES = (8, 9)

ARMS = {
    "epsilon": VowpalWabbitConfig(),
    "epsilon, diversity": VowpalWabbitConfig(diversity=0.05),
    "squarecb": VowpalWabbitConfig(exploration="squarecb"),
    "softmax": VowpalWabbitConfig(exploration="softmax"),
    "interactions": VowpalWabbitConfig(context_features=CONTEXT_FEATURES, interactions=("ac",)),
}


def contexts_of(rng: np.random.Generator, decisions: int) -> ContextBatch:
    """Made-up decisions over a catalogue of 5,000 items."""
    embeddings = rng.normal(size=(5_000, 32)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    rows = np.argsort(rng.random((decisions, 5_000)), axis=1)[:, :K]
    return ContextBatch(
        candidates=np.ascontiguousarray(rows, dtype=np.int32),
        features=rng.random((decisions, K, DIMENSION), dtype=np.float32),
        scores=rng.random((decisions, K), dtype=np.float32),
        embeddings=embeddings,
    )


def outcomes_of(
    contexts: ContextBatch, slates: SlateBatch, rng: np.random.Generator
) -> OutcomeBatch:
    """What came of some slates."""
    n = len(slates)
    return OutcomeBatch(
        component="engagement",
        first=True,
        features=np.take_along_axis(contexts.features, slates.positions[:, :, None], axis=1),
        rewards=(rng.random((n, SLOTS)) < 0.1) * rng.random((n, SLOTS)),
        shown=np.ones((n, SLOTS), dtype=np.bool_),
        propensities=slates.propensities,
        shards=np.zeros(n, dtype=np.uint8),
    )


def ours(config: VowpalWabbitConfig, pages: int) -> dict[str, float]:
    """Microseconds per page, in batches for decisions and in one day's call for learning."""
    rng = np.random.default_rng(0)
    contexts = contexts_of(rng, BATCH)
    keys = rng.integers(0, 2**64, size=BATCH, dtype=np.uint64)
    policy = VowpalWabbit(config, dimension=DIMENSION)
    outcomes = outcomes_of(contexts, policy.decide(contexts, slots=SLOTS, keys=keys), rng)
    policy.learn(outcomes)
    day = OutcomeBatch(
        component=outcomes.component,
        first=True,
        shards=np.tile(outcomes.shards, pages // BATCH),
        **{
            name: np.concatenate([getattr(outcomes, name)] * (pages // BATCH))
            for name in ("features", "rewards", "shown", "propensities")
        },
    )
    decide = _seconds(lambda: policy.decide(contexts, slots=SLOTS, keys=keys), repeats=3)
    learn = _seconds(lambda: policy.learn(day), repeats=2)
    return {"decide_us": decide / BATCH * 1e6, "learn_us": learn / len(day) * 1e6}


def peer(pages: int) -> dict[str, float]:
    """Microseconds per page of the raw binding fed by Python's formatting."""
    rng = np.random.default_rng(0)
    X = rng.random((pages, K, DIMENSION), dtype=np.float32)
    vw: Any = pylibvw.vw(["--quiet", "--cb_explore_adf", "--epsilon", "0.1", "--noconstant"])

    def predict_all() -> None:
        for page in X:
            examples = vw._parse("\n".join(_line(x) for x in page))
            vw.predict_multi(examples)
            examples[0].get_action_scores()
            vw._finish_example_multi_ex(examples)

    def learn_all() -> None:
        for page in X:
            for slot in range(SLOTS):
                lines = [_line(x) for x in page]
                lines[slot] = "0:-0.5:0.5 " + lines[slot]
                examples = vw._parse("\n".join(lines))
                vw.learn_multi(examples)
                vw._finish_example_multi_ex(examples)

    decide = _seconds(predict_all, repeats=2)
    learn = _seconds(learn_all, repeats=1)
    vw.finish()
    return {"decide_us": decide / pages * 1e6, "learn_us": learn / pages * 1e6}


def _line(x: Float32Array) -> str:
    return "|a" + "".join(f" {column}:{number:.9g}" for column, number in enumerate(x.tolist()))


def _seconds(work: Callable[[], object], *, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def rows(figures: dict[str, dict[str, float]], limit: dict[str, float]) -> list[Row]:
    """The figures as lines of the table of all benchmarks, in pages per second."""
    version = importlib.metadata.version("vowpalwabbit")
    return [
        Row(
            name=f"Vowpal Wabbit, {verb}",
            size=name,
            unit="pages/s",
            ours=1e6 / row[key],
            peer=PeerFigure("Vowpal Wabbit from Python", version, 1e6 / limit[key]),
            note=f"{K} candidates, {SLOTS} slots, {DIMENSION} features; wall-clock time.",
        )
        for name, row in figures.items()
        for verb, key in (("decide", "decide_us"), ("learn", "learn_us"))
    ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a smaller run, for a first look")
    parser.add_argument("--tiny", action="store_true", help="one arm; figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    pages, peer_pages = (16 * BATCH, 32)
    if arguments.quick or arguments.tiny:
        pages, peer_pages = (2 * BATCH, 8) if arguments.quick else (BATCH, 1)
    effort = TINY if arguments.tiny else QUICK if arguments.quick else FULL
    with threadpool_limits(1):
        events = measure_events(effort)
    arms = dict(list(ARMS.items())[:1]) if arguments.tiny else ARMS
    figures = {name: ours(config, pages) for name, config in arms.items()}
    limit = peer(peer_pages)
    if arguments.json:
        print_rows([*events, *rows(figures, limit)], as_json=True, peer=limit, **figures)
        return
    print_rows(events, as_json=False)
    print(f"{K} candidates, {SLOTS} slots, {DIMENSION} features; microseconds per page")
    for name, row in {"Vowpal Wabbit from Python": limit, **figures}.items():
        ratios = "   ".join(f"{limit[key] / row[key]:7.1f}x" for key in row)
        print(
            f"{name:<28} decide {row['decide_us']:8,.0f}   learn {row['learn_us']:8,.0f}"
            f"   times the peer's speed: {ratios}"
        )


if __name__ == "__main__":
    main()
