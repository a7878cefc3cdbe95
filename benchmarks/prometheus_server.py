"""A real Prometheus in a process of its own, for programs and tests that ask it."""

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from live_service import free_port

_DURATION = re.compile(r"\b(\d+)([smh])\b")
_RANGE = re.compile(r"(?<=\[)\d+[smh](?=\])|(?<=offset )\d+[smh]\b")
_SECONDS = {"s": 1, "m": 60, "h": 3_600}
_DASHBOARDS = Path(__file__).resolve().parents[1] / "dashboards"


class Prometheus:
    """A server on a free port of loopback, with the configuration and rules of `dashboards/`.

    Args:
        folder: of its configuration and data; made if it is not there.
        targets: addresses to scrape, `HOST:PORT`, by job.
        scrape_seconds: between two scrapes, and between two evaluations of rules.
        key: file with the API key that it sends, if any.
        hurry: by which the rules' waits and ranges are divided; 1 leaves them as committed.
        options: of the command line, besides those that are always there.

    Attributes:
        port: where it listens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        targets: Mapping[str, Sequence[str]],
        scrape_seconds: float = 1.0,
        key: Path | None = None,
        hurry: float = 1.0,
        options: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._options = list(options)
        self._process: subprocess.Popen[bytes] | None = None
        _write_configuration(folder, targets=targets, scrape_seconds=scrape_seconds, key=key)
        for rules in (folder / "rules").glob("*.yml"):
            hurried = hurried_rules(rules.read_text(encoding="utf-8"), by=hurry)
            rules.write_text(hurried, encoding="utf-8")

    @classmethod
    def at(cls, port: int) -> Self:
        """One that runs already, on loopback: to ask, not to start or to stop."""
        found = cls.__new__(cls)
        found.port, found._process = port, None
        return found

    def start(self, *, wait_s: float = 60.0) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: it is not installed, it ended, or it does not answer in time.
        """
        program = shutil.which("prometheus")
        if program is None:
            raise RuntimeError("prometheus must be installed (on Debian: apt install prometheus)")
        with (self.folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.data}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    *self._options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + wait_s
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(self._url("/-/ready"), timeout=5):  # noqa: S310
                    return
            except OSError:
                time.sleep(0.05)
        said = (self.folder / "prometheus.log").read_text(encoding="utf-8", errors="replace")
        self.stop()
        raise RuntimeError(f"prometheus does not answer:\n{said[-2_000:]}")

    def stop(self) -> None:
        """End it, and wait."""
        if self._process is not None:
            process, self._process = self._process, None
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def newest(self, expr: str, *, at: float | None = None) -> list[dict[str, Any]]:
        """Series of an expression with their newest values, or those of a moment in unix time.

        Raises:
            ValueError: Prometheus refuses the expression; it says why.
        """
        asked = {"query": expr} if at is None else {"query": expr, "time": repr(at)}
        found: list[dict[str, Any]] = self._ask("/api/v1/query", asked)["result"]
        return found

    def lines(self, expr: str, *, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Series of an expression over time, in unix time and seconds.

        Raises:
            ValueError: Prometheus refuses the expression; it says why.
        """
        asked = {"query": expr, "start": repr(start), "end": repr(end), "step": repr(step)}
        found: list[dict[str, Any]] = self._ask("/api/v1/query_range", asked)["result"]
        return found

    def labels(self, label: str, series: str) -> list[str]:
        """Values of a label over the series of a selector."""
        path = f"/api/v1/label/{label}/values"
        found: list[str] = self._ask(path, {"match[]": series})
        return found

    def firing(self) -> list[dict[str, str]]:
        """Labels of every alert that fires now."""
        alerts = self._ask("/api/v1/alerts", {})["alerts"]
        return [alert["labels"] for alert in alerts if alert["state"] == "firing"]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with how its last evaluation went."""
        groups = self._ask("/api/v1/rules", {})["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def targets_up(self) -> dict[str, bool]:
        """Whether the last scrape of each target went well, by its address."""
        return {one["metric"]["instance"]: one["value"][1] == "1" for one in self.newest("up")}

    def _ask(self, path: str, asked: Mapping[str, str]) -> Any:
        address = self._url(f"{path}?{urllib.parse.urlencode(asked)}")
        try:
            with urllib.request.urlopen(address, timeout=60) as reply:  # noqa: S310
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{asked}: {error.read().decode(errors='replace')}") from None

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def hurried_rules(text: str, *, by: float) -> str:
    """A file of rules that waits less: each `for`, range, offset and pause divided, 1 s at least.

    Args:
        text: of the file, in YAML.
        by: 1 or more.

    Raises:
        ValueError: `by` is less than 1.

    Example:
        >>> rule = {"alert": "A", "expr": "rate(x[5m]) > 1 unless x offset 15m", "for": "1m"}
        >>> told = yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]})
        >>> yaml.safe_load(hurried_rules(told, by=5.0))["groups"][0]["rules"][0]
        {'alert': 'A', 'expr': 'rate(x[60s]) > 1 unless x offset 180s', 'for': '12s'}
    """
    if by < 1.0:
        raise ValueError(f"rules can be hurried by 1 or more, got {by:g}")
    if by == 1.0:
        return text

    def less(told: str) -> str:
        found = _DURATION.fullmatch(told)
        if found is None:
            raise ValueError(f"a duration is a number of s, m or h, got {told!r}")
        return f"{max(1, round(int(found[1]) * _SECONDS[found[2]] / by))}s"

    whole = yaml.safe_load(text)
    for group in whole["groups"]:
        for one in (group, *group["rules"]):
            one.update({key: less(one[key]) for key in ("for", "interval") if key in one})
        for rule in group["rules"]:
            rule["expr"] = _RANGE.sub(lambda found: less(found[0]), rule["expr"])
    return str(yaml.safe_dump(whole, sort_keys=False))


def _write_configuration(
    folder: Path,
    *,
    targets: Mapping[str, Sequence[str]],
    scrape_seconds: float,
    key: Path | None,
) -> None:
    """The committed configuration, with other targets, a shorter pause and another key."""
    whole = yaml.safe_load((_DASHBOARDS / "prometheus.yml").read_text(encoding="utf-8"))
    pause = f"{round(scrape_seconds * 1_000)}ms"
    whole["global"] = {"scrape_interval": pause, "evaluation_interval": pause}
    for job in whole["scrape_configs"]:
        if key is None:
            job.pop("authorization", None)
        else:
            job["authorization"] = {"credentials_file": str(key)}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    for name in ("rules", "targets"):
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(_DASHBOARDS / "rules", folder / "rules")
    (folder / "targets").mkdir()
    for job_name, addresses in targets.items():
        text = yaml.safe_dump([{"targets": list(addresses)}])
        (folder / "targets" / f"{job_name}.yml").write_text(text, encoding="utf-8")
