"""Off-policy estimates in one pass beside plain numpy, and beside reading the log once.

IPS, SNIPS and DR with standard errors of a log with tables over ten actions (184 bytes a row: law
and predictions, action, reward, probability) and of slates of ten slots (400 bytes a row), both as
the kernel alone from arrays that are there; of the same tables the whole call `evaluate_actions`,
which fits a reward model, checks every law, looks for overlap and makes intervals; and replicates
of SNIPS by the Poisson bootstrap beside numpy's gather form, which draws rows with
replacement. Ours gives more than is compared: DM, SNDR, replay, diagnostics, units.

    python benchmarks/ope.py [--quick] [--json]
"""

import tracemalloc
from collections.abc import Callable

import numpy as np

from harness import Bars, Effort, Limit, PeerFigure, Row, Work, compare, main
from limits import reading
from matinee_platform.ope.action_evaluation import evaluate_actions
from matinee_platform.ope.action_sums import ActionTables, add_actions
from matinee_platform.ope.estimates import Estimate, estimates
from matinee_platform.ope.inputs.obp_arrays import obp_log
from matinee_platform.ope.inputs.target_law import matrix_law
from matinee_platform.ope.poisson_bootstrap import PoissonBootstrap
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_policies.arrays import FloatArray

PLAN = EstimatorPlan(pages=False)
SEED = 5


def action_log(n: int, K: int) -> ActionTables:
    """A made-up log of single actions, chosen uniformly."""
    rng = np.random.default_rng(SEED)
    law = rng.random((n, K))
    law /= law.sum(axis=1, keepdims=True)
    return ActionTables(
        actions=rng.integers(0, K, n),
        rewards=(rng.random(n) < 0.1).astype(np.float64),
        logged=np.full(n, 1.0 / K),
        law=law,
        predictions=rng.random((n, K)),
    )


def slate_log(n: int, slots: int) -> LoggedBatch:
    """A made-up log of slates."""
    rng = np.random.default_rng(SEED)
    shape = (n, slots)
    return LoggedBatch(
        unit=rng.integers(0, max(n // 5, 1), n).astype(np.uint64),
        time=np.arange(n),
        rewards=(rng.random(shape) < 0.1).astype(np.float64),
        logged=rng.uniform(0.05, 1.0, shape),
        target=rng.uniform(0.0, 1.0, shape),
        unreachable=np.zeros((1, 1)),
        predicted=rng.random(shape),
        expected=rng.random(shape),
    )


def ours_of_actions(log: ActionTables) -> tuple[Estimate, ...]:
    """One pass over tables."""
    sums = SlotSums(PLAN)
    add_actions(sums, log)
    return estimates(sums)


def ours_of_slates(log: LoggedBatch) -> tuple[Estimate, ...]:
    """One pass over slots."""
    sums = SlotSums(PLAN)
    sums.add(log)
    return estimates(sums)


def numpy_of_actions(log: ActionTables) -> list[FloatArray]:
    """The same three estimators as one writes them in numpy."""
    predictions = log.predictions if log.predictions is not None else np.zeros_like(log.law)
    rows = np.arange(log.actions.size)
    w = log.law[rows, log.actions] / log.logged
    expected = (log.law * predictions).sum(axis=1)
    return numpy_estimates(w, log.rewards, predictions[rows, log.actions], expected)


def numpy_of_slates(log: LoggedBatch) -> list[FloatArray]:
    """The same, slot by slot at once."""
    nothing = np.zeros_like(log.rewards)
    q = log.predicted if log.predicted is not None else nothing
    e = log.expected if log.expected is not None else nothing
    return numpy_estimates(log.target / log.logged, log.rewards, q, e)


def numpy_estimates(w: FloatArray, r: FloatArray, q: FloatArray, e: FloatArray) -> list[FloatArray]:
    """Values and standard errors of IPS, SNIPS and DR over rows."""
    root = np.sqrt(len(w))
    x, d = w * r, e + w * (r - q)
    value = x.sum(axis=0) / w.sum(axis=0)
    residual = w * (r - value)
    error = np.sqrt((residual**2).sum(axis=0)) / w.sum(axis=0)
    out = [x.mean(axis=0), x.std(axis=0, ddof=1) / root, value, error]
    return [*out, d.mean(axis=0), d.std(axis=0, ddof=1) / root]


def peak_bytes(run: Callable[[], object]) -> int:
    """Most memory that a call holds beside its arguments, of what Python and numpy allocate."""
    run()
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def measure(effort: Effort) -> list[Row]:
    """Two rows of estimates, one of a whole call, one of replicates."""
    n = 1_000 if effort.tiny else 1_000_000
    return [
        _actions(n, effort),
        _whole_call(n // 4, effort),
        _slates(n // 4, effort),
        _replicates(n // 4, effort),
    ]


def _actions(n: int, effort: Effort) -> Row:
    log = action_log(n, 10)
    return _beside_numpy(
        "kernel alone: IPS, SNIPS, DR with standard errors, tables of 10 actions",
        (lambda: ours_of_actions(log), lambda: numpy_of_actions(log)),
        n=n,
        row_bytes=184,
        bars=Bars(peer=5.0, limit=0.7, peer_goal=25.0, limit_goal=0.85),
        effort=effort,
    )


def _whole_call(n: int, effort: Effort) -> Row:
    log = action_log(n, 10)
    feedback = {
        "n_rounds": n,
        "n_actions": 10,
        "action": log.actions,
        "reward": log.rewards,
        "pscore": log.logged,
    }
    law, estimators = matrix_law(log.law[:, None]), ["dr", "ips", "snips"]

    def ours() -> object:
        return evaluate_actions(
            obp_log(feedback), law, estimators=estimators, reward_model="empirical"
        )

    return compare(
        "evaluate_actions: IPS, SNIPS, DR with model, checks and intervals, tables of 10 actions",
        size=f"{n:,} rows",
        unit="rows/s",
        ours=Work(ours, units=n),
        peer=_numpy_rate(lambda: numpy_of_actions(log), units=n, effort=effort),
        bars=Bars(),
        effort=effort,
        note="numpy is given the predictions and makes neither checks nor intervals.",
    )


def _slates(n: int, effort: Effort) -> Row:
    log = slate_log(n, 10)
    return _beside_numpy(
        "kernel alone: IPS, SNIPS, DR with standard errors, 10 slots",
        (lambda: ours_of_slates(log), lambda: numpy_of_slates(log)),
        n=n,
        row_bytes=400,
        bars=Bars(),
        effort=effort,
    )


def _beside_numpy(
    name: str,
    runs: tuple[Callable[[], object], Callable[[], object]],
    *,
    n: int,
    row_bytes: int,
    bars: Bars,
    effort: Effort,
) -> Row:
    ours, peer = runs
    extra = [f"{peak_bytes(run) / 1e6:,.1f} MB" for run in runs]
    return compare(
        name,
        size=f"{n:,} rows",
        unit="rows/s",
        ours=Work(ours, units=n),
        peer=_numpy_rate(peer, units=n, effort=effort),
        limit=Limit(f"read {row_bytes} bytes a row once", reading(row_bytes * n), scale=n),
        bars=bars,
        effort=effort,
        note=f"Beside the log ours holds {extra[0]} at most, numpy {extra[1]}.",
    )


def _replicates(n: int, effort: Effort) -> Row:
    batch = slate_log(n, 1)
    log = LoggedBatch(*(getattr(batch, name) for name in batch.__slots__[:6]))
    replicates = 8 if effort.tiny else 200
    weights, rng = (log.target / log.logged)[:, 0], np.random.default_rng(SEED)
    weighted = weights * log.rewards[:, 0]

    def ours() -> FloatArray:
        boot = PoissonBootstrap(PLAN, replicates=replicates)
        boot.add(log)
        return boot.draws("snips")

    def gather() -> float:
        rows = rng.integers(0, n, n)
        return float(weighted[rows].sum() / weights[rows].sum())

    return compare(
        "bootstrap of SNIPS",
        size=f"{n:,} rows, {replicates} replicates",
        unit="rows x replicates/s",
        ours=Work(ours, units=n * replicates),
        peer=_numpy_rate(gather, units=n, effort=effort),
        bars=Bars(peer=8.0),
        effort=effort,
        note="Ours draws units with all their rows, in one pass; numpy draws rows.",
    )


def _numpy_rate(run: Callable[[], object], *, units: float, effort: Effort) -> PeerFigure:
    work = Work(run, units=units)
    best = max(work.rate(effort.seconds) for _ in range(effort.repeats))
    return PeerFigure("numpy", np.__version__, best)


if __name__ == "__main__":
    main(__doc__, measure)
