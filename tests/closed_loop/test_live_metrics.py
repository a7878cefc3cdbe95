"""A run's metrics while it runs: served at its port, passed on by processes, gone afterwards."""

import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from matinee_platform import metrics
from matinee_platform.offline.arm_run import DayReport
from matinee_platform.offline.report_queue import ReportQueue, pass_on
from matinee_platform.offline.testing_metrics import NAMES, Scrape, measured_settings


def test_a_report_that_comes_late_is_passed_on(
    measured_runs: dict[int, tuple[Path, list[DayReport]]],
) -> None:
    first, second = measured_runs[1][1][:2]
    days: ReportQueue = multiprocessing.get_context("spawn").Queue()
    days.put(first)
    seen: list[DayReport] = []

    def end_two_arms() -> None:
        for item in (second, None, first, None):
            days.put(item)

    later = threading.Timer(0.3, end_two_arms)
    later.start()
    try:
        assert pass_on(days, seen.append, until=2) == 2
        assert seen == [first, second, first]
        assert pass_on(days, seen.append) == 0
    finally:
        later.join()
        days.close()
        days.join_thread()


def command(tmp_path: Path, data: Path, *words: str) -> list[str]:
    config = tmp_path / "experiment.yaml"
    measured = measured_settings(data=str(data)).model_dump(mode="json")
    config.write_text(json.dumps(measured), encoding="utf-8")
    out = ["--config", str(config), "--out", str(tmp_path / "out")]
    return [sys.executable, "-m", "matinee_platform.cli", "simulate", *out, *words]


def scraped(url: str) -> Scrape | None:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
            return Scrape(answer.read().decode())
    except OSError:  # The server closes when the run ends.
        return None


def test_a_live_run_can_be_scraped(tmp_path: Path, small_data: Path) -> None:
    words = ("--metrics-port", "0", "--workers", "2", "--set", "users=400", "--set", "days=60")
    process = subprocess.Popen(
        command(tmp_path, small_data, *words),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = None
        for line in process.stderr:
            if match := re.fullmatch(r"Metrics: (http://127\.0\.0\.1:(\d+)/metrics)\n", line):
                url, port = match[1], int(match[2])
                break
        assert url is not None
        seen: list[dict[str, float]] = []
        while process.poll() is None:
            live = scraped(url)
            if live is not None:
                seen.append(
                    {
                        arm: live.value(metrics.COMPLETED_DAY, arm=arm)
                        for arm in NAMES
                        if live.has(metrics.COMPLETED_DAY, arm=arm)
                    }
                )
            time.sleep(0.05)
        assert process.wait(timeout=60) == 0, process.stderr.read()
        days = [figures["lin_ucb"] for figures in seen if "lin_ucb" in figures]
        assert days == sorted(days)
        assert any(0 < day < 60 for day in days), "no figure was seen while the arm ran"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def test_a_taken_port_stops_the_run_before_it_starts(tmp_path: Path, small_data: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = subprocess.run(
            command(tmp_path, small_data, "--metrics-port", str(port)),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "120"},
        )
    assert done.returncode == 1
    assert f"error: metrics port {port} of 127.0.0.1 cannot be taken" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
