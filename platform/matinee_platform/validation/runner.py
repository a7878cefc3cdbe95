"""Run the checks, side by side if there are cores, and gather what they find."""

import multiprocessing
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing.queues import Queue
from typing import Any, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from matinee_platform.offline.child_processes import (
    deaf_to_interrupts,
    end_with_parent,
    one_blas_thread,
)
from matinee_platform.validation.checks import (
    FACTS_HOLD,
    GROUPS,
    KEYS,
    Context,
    wanted_keys,
)
from matinee_platform.validation.claims import ACCEPTANCE
from matinee_platform.validation.evidence import CANDIDATES, Evidence, Request
from matinee_policies.errors import ConfigError
from matinee_simulator.stylised_facts import FACTS, Figure, Finding, Line, Plot, Verdict

Done: TypeAlias = tuple[Finding, float]
"""A finding and the seconds that it took."""

Reporter: TypeAlias = Callable[[Finding, float], None]

_POLL_SECONDS = 0.2


def run_validation(
    request: Request,
    *,
    only: Sequence[str] = (),
    workers: int = 1,
    announce: Callable[[str], None] = lambda line: None,
    report: Reporter = lambda finding, seconds: None,
) -> dict[str, Any]:
    """Run checks; the findings do not depend on `workers`.

    Args:
        request: what is validated.
        only: checks to run, as for `wanted_keys`; none for all.
        workers: processes side by side; 1 stays in this one.
        announce: told which data are used.
        report: told of each finding as it is made.

    Returns:
        JSON values: `data`, `seed`, `size`, `parameters`, `seconds`, `counts` of verdicts,
        `passed`, and `findings`, each with its `seconds`.

    Raises:
        MatineeError: on bad data or settings, before any check runs.
    """
    if workers < 1:
        raise ConfigError(f"workers must be >= 1, got {workers}")
    keys = wanted_keys(only)
    start = time.perf_counter()
    evidence = Evidence(request)
    announce(f"Data: {evidence.dataset.description}")
    if evidence.world.n_items < CANDIDATES:
        raise ConfigError(
            f"the data must have at least {CANDIDATES} items with enough ratings to choose pages "
            f"from, got {evidence.world.n_items}"
        )
    needed = set(keys)
    if FACTS_HOLD in needed:
        needed |= {claim.key for claim in FACTS if not claim.why_not}
    groups = [(group, [key for key in checks if key in needed]) for group, checks in GROUPS.items()]
    groups = [(group, chosen) for group, chosen in groups if chosen]
    done = {
        claim.key: (claim.without(Verdict.NOT_APPLICABLE, claim.why_not), 0.0)
        for claim in FACTS
        if claim.why_not and claim.key in needed
    }
    with one_blas_thread():
        if workers == 1 or len(groups) < 2:
            context = Context(request)
            context.evidence = evidence
            for group, chosen in groups:
                for finding, seconds in _run_group(context, group, chosen):
                    report(finding, seconds)
                    done[finding.key] = (finding, seconds)
        else:
            for finding, seconds in _run_side_by_side(request, groups, workers, report):
                done[finding.key] = (finding, seconds)
    if FACTS_HOLD in needed:
        gathered = facts_hold([finding for finding, _ in done.values()])
        done[FACTS_HOLD] = (gathered, 0.0)
        report(gathered, 0.0)
    shown = [done[key] for key in KEYS if key in done]
    return {
        "data": evidence.dataset.description,
        "seed": request.seed,
        "size": request.size.name,
        "parameters": request.parameters.to_json(),
        "seconds": round(time.perf_counter() - start, 1),
        "counts": {
            str(verdict): sum(finding.verdict is verdict for finding, _ in shown)
            for verdict in Verdict
        },
        "passed": not any(
            finding.gated and finding.verdict is Verdict.FAIL for finding, _ in shown
        ),
        "findings": [
            {**finding.to_json(), "seconds": round(seconds, 2)} for finding, seconds in shown
        ],
    }


def facts_hold(findings: Sequence[Finding]) -> Finding:
    """The finding of T9, from those of the facts."""
    claim = ACCEPTANCE[FACTS_HOLD]
    gated = {fact.key for fact in FACTS if not fact.why_not}
    facts = sorted(
        (finding for finding in findings if finding.key in gated),
        key=lambda finding: KEYS.index(finding.key),
    )
    judged = [f for f in facts if f.verdict in (Verdict.PASS, Verdict.FAIL)]
    if not judged:
        return claim.without(Verdict.NOT_APPLICABLE, "No gated fact could be judged.")
    failed = [finding.key for finding in judged if finding.verdict is Verdict.FAIL]
    passed = Figure(
        name=f"facts that pass, of {len(judged)} judged",
        value=float(len(judged) - len(failed)),
        low=float(len(judged)),
        digits=0,
    )
    return claim.finding(
        [passed],
        plot=Plot(
            x_title="fact",
            y_title="1 passes, 0 fails",
            lines=(
                Line(
                    name="simulated",
                    role="simulated",
                    x=np.array([float(f.key.removeprefix("fact-")) for f in judged]),
                    y=np.array([float(f.verdict is Verdict.PASS) for f in judged]),
                    dots=True,
                ),
            ),
        ),
        explain=f"Failing: {', '.join(failed)}." if failed else "",
    )


def _run_group(context: Context, group: str, keys: Sequence[str]) -> Iterator[Done]:
    for key in keys:
        start = time.perf_counter()
        finding = GROUPS[group][key](context)
        yield finding, time.perf_counter() - start


_shared: "tuple[Context, Queue[Done]] | None" = None


def _connect(request: Request, findings: "Queue[Done]") -> None:
    global _shared
    _shared = (Context(request), findings)
    end_with_parent()


def _work(group: str, keys: Sequence[str]) -> list[Done]:
    assert _shared is not None  # noqa: S101 - set when the process starts
    context, findings = _shared
    with threadpool_limits(limits=1):
        done = []
        for finding, seconds in _run_group(context, group, keys):
            done.append((finding, seconds))
            findings.put((finding, seconds))
    return done


def _run_side_by_side(
    request: Request,
    groups: Sequence[tuple[str, Sequence[str]]],
    workers: int,
    report: Reporter,
) -> list[Done]:
    context = multiprocessing.get_context("spawn")
    findings: Queue[Done] = context.Queue()
    done: list[Done] = []
    with ProcessPoolExecutor(
        min(workers, len(groups)),
        mp_context=context,
        initializer=_connect,
        initargs=(request, findings),
    ) as pool:
        with deaf_to_interrupts():
            waiting: set[Future[list[Done]]] = {
                pool.submit(_work, group, keys) for group, keys in groups
            }
        try:
            while waiting:
                ended, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in ended:
                    done.extend(future.result())
                _pass_on(findings, report)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        _pass_on(findings, report)
    return done


def _pass_on(findings: "Queue[Done]", report: Reporter) -> None:
    while True:
        try:
            finding, seconds = findings.get(timeout=0.05)
        except queue.Empty:
            return
        report(finding, seconds)
