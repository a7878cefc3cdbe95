r"""Pictures of the dashboards, drawn by Grafana's own components in a browser from real answers.

    PYTHONPATH=benchmarks:dashboards python -m stack.look --prometheus 9090 --experiment home \
        --out looks

Needs Node with npm, Chromium, and a Prometheus that holds data. A Grafana is not among what it
needs, so this is no test in Grafana: it shows what its components make of our panels.
"""

import argparse
import functools
import http.server
import json
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from matinee_dashboards.boards import BOARDS
from matinee_dashboards.grafana import dashboard_json
from matinee_dashboards.records import Board
from panel_answers import PanelAnswer, answers, choices_of
from prometheus_server import Prometheus

_PAGE = Path(__file__).resolve().parents[2] / "dashboards" / "look"
_LABEL = re.compile(r"\{\{(\w+)\}\}")
_WIDTH = 24 * 78
_ROW = 34


def main() -> None:
    """Make a PNG of every dashboard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prometheus", type=int, required=True, help="port on loopback")
    parser.add_argument("--experiment", required=True, help="chosen in every dashboard")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--minutes", type=float, default=10.0, help="that lines show")
    parser.add_argument("--packages", type=Path, help="folder where npm has installed before")
    asked = parser.parse_args()
    prometheus = Prometheus.at(asked.prometheus)
    asked.out.mkdir(parents=True, exist_ok=True)
    built = _built(asked.packages)
    for board in BOARDS:
        seconds = asked.minutes * 60.0
        told = _told(board, prometheus, experiment=asked.experiment, seconds=seconds)
        (built / "panels.json").write_text(json.dumps(told), encoding="utf-8")
        picture = asked.out / f"{board.uid}.png"
        height = max(one["place"]["y"] + one["place"]["h"] for one in told["panels"]) * _ROW + 40
        _photograph(built, picture, height=height)
        print(picture)


def _built(packages: Path | None) -> Path:
    """The page with Grafana's components in it."""
    folder = packages or Path(tempfile.mkdtemp(prefix="matinee-look-"))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "index.html", "look.js"):
        shutil.copy(_PAGE / name, folder / name)
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--legacy-peer-deps")
    if not (folder / "node_modules").is_dir():
        subprocess.run(["npm", "install", *quiet], cwd=folder, check=True)
    build = ["npx", "vite", "build", "--target", "esnext", "--logLevel", "error"]
    subprocess.run(build, cwd=folder, check=True)
    return folder / "dist"


def _told(
    board: Board, prometheus: Prometheus, *, experiment: str, seconds: float
) -> dict[str, Any]:
    """Places, settings and numbers of every panel, for the page."""
    choices = choices_of(board, prometheus, experiment=experiment)
    found = answers(board, prometheus, choices=choices, interval="8s", seconds=seconds)
    panels: list[dict[str, Any]] = []
    by_title = {answer.panel.title: answer for answer in found}
    times: list[float] = [0.0]
    for made in json.loads(dashboard_json(board))["panels"]:
        one: dict[str, Any] = {"title": made["title"], "place": {"x": 0, "y": 0, **made["gridPos"]}}
        if made["type"] == "row":
            panels.append({**one, "kind": "row"})
            continue
        answer = by_title[made["title"]]
        defaults = made["fieldConfig"]["defaults"]
        one.update(
            kind=answer.panel.kind,
            description=made["description"],
            unit=defaults["unit"],
            least=defaults.get("min"),
            most=defaults.get("max"),
            thresholds=defaults["thresholds"],
            mappings=defaults.get("mappings", []),
            soft=defaults.get("custom", {}).get("axisSoftMax"),
            style=defaults.get("custom", {}).get("thresholdsStyle"),
        )
        if answer.panel.kind == "table":
            one["table"] = _table(answer)
        else:
            one["series"] = _series(answer)
            times += [at for series in one["series"] for at in series["times"]]
        panels.append(one)
    end = max(times)
    return {"title": board.title, "from": end - seconds * 1_000, "to": end, "panels": panels}


def _series(answer: PanelAnswer) -> list[dict[str, Any]]:
    found = []
    for query, answered in zip(answer.panel.queries, answer.series, strict=True):
        for one in answered:
            labels = one["metric"]
            name = _legend(query.legend, labels)
            points = one["values"] if "values" in one else [one["value"]]
            found.append(
                {
                    "name": name,
                    "times": [at * 1_000 for at, _ in points],
                    "values": [None if value == "NaN" else float(value) for _, value in points],
                    "dashed": name.endswith((" low", " high")),
                }
            )
    return found


def _legend(told: str, labels: dict[str, str]) -> str:
    return _LABEL.sub(lambda label: labels.get(label[1], ""), told)


def _table(answer: PanelAnswer) -> list[dict[str, Any]]:
    """Columns: metric, arm and one for each query."""
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for name, answered in zip(answer.panel.columns, answer.series, strict=True):
        for one in answered:
            key = (one["metric"]["metric"], one["metric"]["arm"])
            cells.setdefault(key, {})[name] = float(one["value"][1])
    rows = sorted(cells)
    return [
        {"name": "metric", "type": "string", "values": [metric for metric, _ in rows]},
        {"name": "arm", "type": "string", "values": [arm for _, arm in rows]},
        *(
            {"name": name, "type": "number", "values": [cells[row].get(name) for row in rows]}
            for name in answer.panel.columns
        ),
    ]


def _photograph(folder: Path, picture: Path, *, height: int) -> None:
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--window-size={_WIDTH},{height}",
                "--virtual-time-budget=20000",
                f"--screenshot={picture.resolve()}",
                f"http://127.0.0.1:{server.server_port}/index.html",
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    main()
