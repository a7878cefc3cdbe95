"""The whole platform natively: simulated users, figures held to the analysis, faults and alerts.

    make stack
    PYTHONPATH=benchmarks:dashboards python -m stack --users 500 --days 35 --no-faults

Exit status: 1 if a figure of a dashboard is not that of the analysis, a panel is empty, a rule
fails, or an alert does not fire for its fault and end after its repair.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from stack.checks import empty_panels, failed_rules, until_equal, without_value
from stack.composed import ROOT
from stack.faults import inject_all, start_probe
from stack.fragile_policy import FILE_VARIABLE
from stack.probe_traffic import ProbeTraffic, deploy
from stack.side_by_side import EXPERIMENT, Stack

_SETTINGS = ROOT / "examples" / "stack"
_SALT = "probe-1"
_DRIVE_S = 3_600.0


def main(words: Sequence[str] | None = None) -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="stack", description=__doc__)
    parser.add_argument("--users", type=int, help="of the run; those of run.yaml if not given")
    parser.add_argument("--days", type=int, help="of the run; those of run.yaml if not given")
    parser.add_argument(
        "--days-per-second", type=float, default=1.0, help="that users live at most (default: 1)"
    )
    parser.add_argument("--no-faults", action="store_true", help="nothing is broken")
    parser.add_argument(
        "--hurry",
        type=float,
        default=5.0,
        help="waits and ranges of the rules are divided by it; 1: as committed (default: 5)",
    )
    parser.add_argument("--stay", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    asked = parser.parse_args(words)
    # Nothing that was started stays behind, however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    # Short: PostgreSQL has a socket in it.
    folder = Path(tempfile.mkdtemp(prefix="matinee-"))
    broken = folder / "broken"
    os.environ[FILE_VARIABLE] = str(broken)
    try:
        with Stack(folder, settings=_settings(folder, asked), hurry=asked.hurry) as stack:
            found = _measure(stack, broken, faults=not asked.no_faults)
            _tell(found)
            if asked.out is not None:
                asked.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            if asked.stay:
                _stay(stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    bad = found["empty_panels"] or found["failed_rules"] or not found["figures_equal"]
    return 1 if bad else 0


def _settings(folder: Path, asked: argparse.Namespace) -> Path:
    """A copy of the committed settings, with what was asked for in it."""
    copy = folder / "settings"
    shutil.copytree(_SETTINGS, copy)
    run = yaml.safe_load((copy / "run.yaml").read_text(encoding="utf-8"))
    run.update({k: v for k in ("users", "days") if (v := getattr(asked, k)) is not None})
    (copy / "run.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    os.environ["MATINEE_DAYS_PER_SECOND"] = str(asked.days_per_second)
    return copy


def _measure(stack: Stack, broken: Path, *, faults: bool) -> dict[str, Any]:
    with ExitStack() as opened:
        client = opened.enter_context(stack.client())
        deploy(stack)
        start_probe(client, _SALT)
        traffic = ProbeTraffic(client, rate=20.0, salt=_SALT)
        opened.enter_context(traffic)
        _say("simulated users come")
        began = time.monotonic()
        told = _last_document(stack.drive.finish(wait_s=_DRIVE_S))
        seconds = time.monotonic() - began
        _say("figures are held to the analysis")
        figures = until_equal(stack, client, experiment=EXPERIMENT, say=_say)
        without = without_value(stack, client, experiment=EXPERIMENT)
        found: dict[str, Any] = {
            "drive": told,
            "drive_seconds": seconds,
            "figures": [asdict(one) for one in figures],
            "figures_equal": bool(figures) and all(one.equal for one in figures),
            "without_value": sorted(without),
            "empty_panels": empty_panels(stack, experiment=EXPERIMENT, without=without, say=_say),
            "failed_rules": failed_rules(stack),
            "faults": [],
        }
        if faults:
            _say("faults are injected")
            found["faults"] = [asdict(one) for one in inject_all(stack, client, traffic, broken)]
        return found


def _last_document(text: str) -> dict[str, Any]:
    """The JSON at the end of what a command wrote, after lines of progress."""
    found: dict[str, Any] = json.loads("{" + f"\n{text}".rpartition("\n{\n")[2])
    return found


def _tell(found: dict[str, Any]) -> None:
    for one in found["figures"]:
        mark = "=" if one["shown"] == one["analysed"] else "~"
        print(f"{one['panel']:<34} {one['arm']:<12} {one['shown']!s:>22} {mark} {one['analysed']}")
    for fault in found["faults"]:
        print(
            f"{fault['fault']}: {fault['alert']} fired after {fault['fired_s']:.0f} s; "
            f"{fault['repair']}: gone after {fault['cleared_s']:.0f} s"
        )
    print(f"simulated users: {json.dumps(found['drive'])} in {found['drive_seconds']:.0f} s")
    for name in ("without_value", "empty_panels", "failed_rules"):
        print(f"{name.replace('_', ' ')}: {', '.join(found[name]) or 'none'}")


def _stay(stack: Stack) -> None:
    _say(
        f"service {stack.address}, Prometheus http://127.0.0.1:{stack.prometheus.port}; Ctrl-C ends"
    )
    try:
        while stack.service.running:
            time.sleep(1.0)
    except KeyboardInterrupt:
        return


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
