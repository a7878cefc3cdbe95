"""Examples of control data: experiments, barriers, snapshots, and texts that break programs."""

import itertools
from typing import Any

import numpy as np

from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.storage.records import Barrier
from matinee_policies.snapshot import Snapshot

_number = itertools.count(1)


def example_experiment(**changes: Any) -> LiveExperiment:
    """A definition of two arms under a key and a salt of its own."""
    name = f"example_{next(_number)}"
    arms = [{"name": "old", "bundle": "old"}, {"name": "new", "bundle": "new"}]
    return LiveExperiment.model_validate({"key": name, "salt": name, "arms": arms, **changes})


def injection_strings() -> list[str]:
    """200 texts that break programs which put text into SQL, pages, formats, shells or sheets."""
    seeds = [
        "'; DROP TABLE audit; --",
        "' OR '1'='1",
        '" OR ""="',
        "1); DELETE FROM experiments; --",
        "\\'; SELECT pg_sleep(1); --",
        "$$; DROP TABLE audit; $$",
        "%s %(x)s %d %%",
        ":name :1 ? @p1",
        "{0} {x!r} {{}}",
        "<script>alert(1)</script>",
        "</textarea><img src=x onerror=alert(1)>",
        "=HYPERLINK(1)",
        "+1+1",
        "-1",
        "@SUM(A1)",
        "$(reboot) `reboot` ; reboot &",
        "../../etc/passwd",
        "line\r\nSet-Cookie: a=b",
        "tab\tbell\x07escape\x1b[31m",
        "right\u202eto left\u200b\ufeff",
        "e\u0301 \u00e9 \ufb01 \U0001f600 \U0010ffff",
        "NULL",
        "true",
        "\\x41 \\u0041 \\",
        "/* */ --",
    ]
    ends = ["", "'", '"', "\\", ";--", "%", " ", "\n"]
    return [seed + end for seed in seeds for end in ends]


def example_barrier(
    experiment: str,
    *,
    version: int,
    arm: str = "new",
    seq: int | None = None,
    genesis: bool = False,
) -> Barrier:
    """A barrier that can follow the one of the version before."""
    return Barrier(
        experiment=experiment,
        arm=arm,
        version=version,
        seq=2**40 + 100 * version if seq is None else seq,
        time_ms=1_767_225_600_000 + version,
        snapshot_hash=f"{version:064x}",
        created_at=1_767_225_600_000,
        genesis=genesis,
    )


def example_snapshot(value: float) -> Snapshot:
    """A small state that depends on `value`."""
    return Snapshot("example", 1, {"theta": np.array([value, 2.0])}, {"config": {"alpha": 0.1}})
