"""Time and memory of a run as its users grow, from a thousand to a million.

Two arms, the order of the matrix factorization and LinUCB with MMR that learns, share the users;
two processes, log written, everything from the data to the results. Each size is a run of its own.
The largest size runs for fewer days. Time is CPU time of all processes together, since other work
on the machine does not show in it; memory is what all processes hold at once. The slopes are those
of log time against log user-days, and of log memory against log users, over the larger half of the
sizes: 1 is linear, 0 is flat.

    python benchmarks/scale.py [--quick] [--full] [--json] [--folder DIR] [--set KEY=VALUE ...]

`--full` adds a million users (about 10 GB of disk in DIR).
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from harness import Bars, Row, print_rows
from process_memory import Watched, watch

PLOT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks_scale.svg"
DAYS = 4
MILLION = (1_000_000, 2)

EXPERIMENT: dict[str, Any] = {
    "name": "scale",
    "seed": 7,
    "reward": {"engagement": {"watch": 1.0, "click": -0.3}, "return_visit": {"weight": 0.05}},
    "arms": [
        {"name": "mf_order", "policy": {"kind": "score_order"}},
        {"name": "lin_ucb", "policy": {"kind": "lin_ucb", "alpha": 0.1, "diversity": 0.05}},
    ],
}


@dataclass(frozen=True, slots=True)
class Point:
    """A run.

    Attributes:
        users: of both arms.
        days: of the run.
        pages: slates served.
        watched: what the whole run took.
        arm_seconds: wall time of the arms' days, summed.
        checkpoint_share: of that time.
        disk_mb: what the run leaves on the disk.
    """

    users: int
    days: int
    pages: int
    watched: Watched
    arm_seconds: float
    checkpoint_share: float
    disk_mb: float

    @property
    def microseconds(self) -> float:
        """CPU time for each user and day."""
        return 1e6 * self.watched.cpu_seconds / (self.users * self.days)


def measure(
    sizes: Sequence[tuple[int, int]],
    folder: Path,
    *,
    overrides: Sequence[str] = (),
    tiny: bool = False,
) -> list[Point]:
    """Run every size, of users and days, after a small one that compiles unless all are tiny."""
    if not tiny:
        _run(60, 2, folder, overrides, workers=2)
    workers = 1 if tiny else 2
    return [_run(users, days, folder, overrides, workers=workers) for users, days in sizes]


def slopes(points: Sequence[Point]) -> tuple[float, float]:
    """Of log CPU time against log user-days, and of log memory against log users."""
    larger = points[len(points) // 2 - 1 :] if len(points) > 2 else points
    time = _slope(
        [point.users * point.days for point in larger],
        [point.watched.cpu_seconds for point in larger],
    )
    memory = _slope([point.users for point in larger], [point.watched.held_mb for point in larger])
    return time, memory


def rows(points: Sequence[Point]) -> list[Row]:
    """The figures as lines of the table of all benchmarks."""
    time, memory = slopes(points)
    size = f"{points[0].users:,} to {points[-1].users:,} users"
    last = points[-1]
    return [
        Row(
            name="CPU time of a run against user-days",
            size=size,
            unit="slope",
            ours=time,
            bars=Bars(at_most=1.1),
            note="CPU µs for each user and day: "
            + ", ".join(f"{point.microseconds:,.0f} at {point.users:,}" for point in points),
        ),
        Row(
            name="memory of all processes against users",
            size=size,
            unit="slope",
            ours=memory,
            bars=Bars(at_most=0.5),
            note="MB at the peak (of which without a file behind it): "
            + ", ".join(
                f"{point.watched.held_mb:,.0f} ({point.watched.anonymous_mb:,.0f}) "
                f"at {point.users:,}"
                for point in points
            ),
        ),
        Row(
            name="share of an arm's time that checkpoints take",
            size=f"{last.users:,} users, {last.days} days",
            unit="of the time",
            ours=last.checkpoint_share,
            bars=Bars(at_most=0.05),
        ),
    ]


def draw(points: Sequence[Point], path: Path) -> None:
    """Time for each user and day, and memory, against users; both axes logarithmic."""
    with mpl.rc_context({"svg.hashsalt": "matinee", "svg.fonttype": "none", "font.size": 9}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
        users = [point.users for point in points]
        left.loglog(users, [point.microseconds for point in points], "o-", color="#1f5fa8")
        left.set_ylabel("CPU µs for each user and day")
        held = [point.watched.held_mb for point in points]
        right.loglog(users, held, "o-", color="#1f5fa8", label="all processes")
        plain = [point.watched.anonymous_mb for point in points]
        right.loglog(users, plain, "s--", color="#d55e00", label="without mapped files")
        right.set_ylim(100, 10_000)
        right.set_ylabel("MB at the peak")
        right.legend(frameon=False)
        for panel in (left, right):
            panel.set_xlabel("users")
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _run(users: int, days: int, folder: Path, overrides: Sequence[str], *, workers: int) -> Point:
    config, run = folder / "scale.json", folder / f"run-{users}"
    config.write_text(json.dumps({**EXPERIMENT, "users": users, "days": days}), encoding="utf-8")
    command = [sys.executable, "-m", "matinee_platform.cli", "simulate", "--quiet", "--overwrite"]
    command += ["--config", str(config), "--out", str(run), "--workers", str(workers)]
    command += [part for text in overrides for part in ("--set", text)]
    watched = watch(command)
    if watched.failure:
        raise SystemExit(f"the run of {users:,} users failed: {watched.failure}")
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    arms = results["timings"]["arms"].values()
    seconds = sum(arm["seconds"] for arm in arms)
    point = Point(
        users=users,
        days=days,
        pages=sum(arm["pages"] for arm in results["arm_runs"].values()),
        watched=watched,
        arm_seconds=seconds,
        checkpoint_share=sum(arm["stage_seconds"]["checkpoint"] for arm in arms) / seconds,
        disk_mb=sum(path.stat().st_size for path in run.rglob("*") if path.is_file()) / 2**20,
    )
    shutil.rmtree(run)
    print(_line(point), file=sys.stderr, flush=True)
    return point


def _line(point: Point) -> str:
    watched, rate = point.watched, point.pages / point.arm_seconds
    return ", ".join(
        (
            f"{point.users:,} users, {point.days} days: {point.pages:,} pages",
            f"{watched.seconds:,.0f} s and {watched.cpu_seconds:,.0f} s of CPU",
            f"{point.microseconds:,.0f} CPU µs a user-day",
            f"{rate:,.0f} pages/s of an arm",
            f"{watched.held_mb:,.0f} MB held, {watched.anonymous_mb:,.0f} MB of it anonymous",
            f"{point.checkpoint_share:.1%} of an arm's time in checkpoints",
            f"{point.disk_mb:,.0f} MB left on disk",
        )
    )


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    return float(np.polyfit(np.log(x), np.log(np.maximum(y, 1e-9)), 1)[0])


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="1,000 to 16,000 users")
    parser.add_argument("--tiny", action="store_true", help="smallest runs; figures mean nothing")
    parser.add_argument("--full", action="store_true", help="a million users as well")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--folder", type=Path, help="where to run; a temporary folder if not given")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    sizes = [(1_000, DAYS), (10_000, DAYS), (100_000, DAYS)]
    if arguments.quick:
        sizes = [(1_000, DAYS), (4_000, DAYS), (16_000, DAYS)]
    if arguments.tiny:
        sizes = [(30, 1), (60, 1)]
    if arguments.full:
        sizes.append(MILLION)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        points = measure(sizes, Path(folder), overrides=arguments.set, tiny=arguments.tiny)
    if not (arguments.tiny or arguments.quick or arguments.set):
        draw(points, PLOT)
    print_rows(rows(points), as_json=arguments.json, points=[asdict(point) for point in points])


if __name__ == "__main__":
    mpl.use("svg")
    main()
