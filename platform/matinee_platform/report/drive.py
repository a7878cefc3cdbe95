"""What a drive came to, for machines and for people, and how it is going."""

from typing import Any

from matinee_platform.drive.driver import DayDone, Driven
from matinee_platform.drive.plan import DrivePlan
from matinee_platform.report.progress_frame import ProgressFrame


class DriveProgress(ProgressFrame):
    """Shows a drive's days; a line each where there is no terminal.

    Args:
        quiet: whether to show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet, plain_seconds=0.0)

    def report(self, done: DayDone) -> None:
        """Show that a day is over."""
        tally = done.tally
        line = (
            f"day {done.day + 1} of {done.days}: {tally.pages:,} decisions, "
            f"{_rate(tally.pages, tally.seconds):,.0f}/s"
        )
        self.show(line, completed=done.day + 1, total=done.days)


def drive_json(plan: DrivePlan, done: Driven) -> dict[str, Any]:
    """Everything that a drive came to, as JSON values.

    Args:
        plan: who asked what.
        done: what became of it.
    """
    tally = done.tally
    return {
        "experiment": plan.experiment.key,
        "users": plan.settings.users,
        "days": plan.settings.days,
        **tally.to_json(),
        "decisions_per_second": _rate(tally.pages, tally.seconds),
        "fallbacks": tally.served_by["fallback"],
        "behind_seconds": done.behind,
        "snapshots": {
            arm: {"version": version, "hash": content}
            for arm, (version, content) in sorted(done.learned.items())
        },
        "comparison": None if done.comparison is None else done.comparison.to_json(),
        "failed": done.failed,
    }


def drive_text(found: dict[str, Any]) -> str:
    """The same for people.

    Args:
        found: what `drive_json` gave.
    """
    rewards = ", ".join(f"{what} {n:,}" for what, n in found["rewards"].items()) or "none"
    errors = ", ".join(f"{what} {n:,}" for what, n in found["errors"].items()) or "none"
    learned = ", ".join(f"{arm} {one['version']}" for arm, one in found["snapshots"].items())
    lines = [
        f"{found['experiment']}: {found['users']:,} users, {found['days']:,} days, "
        f"{found['visits']:,} visits",
        f"decisions: {found['pages']:,} in {found['seconds']:.1f} s "
        f"({found['decisions_per_second']:,.0f}/s), {found['fallbacks']:,} by a fallback, "
        f"{found['older_snapshots']:,} by an older snapshot",
        f"rewards: {rewards}",
        f"errors: {errors}",
        f"snapshots: {learned}",
    ]
    if found["behind_seconds"] > 0.0:
        lines.append(f"behind its schedule by {found['behind_seconds']:.1f} s at most")
    repeated = sum(n for what, n in found["rewards"].items() if what.endswith("/repeated"))
    if repeated:
        lines.append(
            f"{repeated:,} rewards were there before and count once: these users have lived "
            "these days already, with the bundles and the answers of then"
        )
    compared = found["comparison"]
    if compared is not None:
        unequal = ", ".join(f"{what} {n:,}" for what, n in compared["unequal"].items()) or "none"
        lines.append(
            f"against the run: {compared['equal']:,} decisions equal bit for bit, unequal: "
            f"{unequal}, not asked for: {compared['missing']:,}; "
            f"{compared['snapshots'] - len(compared['unequal_snapshots']):,} of "
            f"{compared['snapshots']:,} snapshots equal"
        )
        if compared["first"]:
            lines.append(f"first difference: {compared['first']}")
    return "\n".join(lines)


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0.0 else 0.0
