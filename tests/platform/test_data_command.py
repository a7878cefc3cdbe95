"""`matinee data` and the column options, and a shop's own table through a whole run."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from matinee_platform.cli import app
from matinee_platform.data_info import LEAST_RATINGS
from matinee_platform.offline.prepare import prepare
from matinee_platform.settings import load_settings, parse_settings
from matinee_policies.errors import MatineeError

SHOP = ["--users", "customer", "--items", "sku", "--ratings", "quantity", "--timestamps"]
SHOP = [*SHOP, "bought_at", "--feedback", "plays"]
CONFIG: dict[str, Any] = {
    "name": "shop",
    "users": 40,
    "days": 3,
    "slots": 3,
    "candidates": 12,
    "arms": [
        {"name": "mf_order", "weight": 0.5, "policy": {"kind": "score_order"}},
        {"name": "lin_ucb", "weight": 0.5, "policy": {"kind": "lin_ucb", "diversity": 0.05}},
    ],
}


@pytest.fixture(autouse=True)
def _no_data_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MATINEE_DATA", "MATINEE_DATA_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MATINEE_OFFLINE", "1")
    monkeypatch.setenv("MATINEE_HOME", str(tmp_path / "home"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Purchases of 80 customers, repeated ones among them."""
    rng = np.random.default_rng(5)
    lines = ["customer,sku,quantity,bought_at,till"]
    for customer in range(80):
        for sku in rng.choice(40, size=15, replace=False, p=np.arange(1, 41) / 820):
            for _ in range(rng.integers(1, 3)):
                day = f"2024-0{rng.integers(1, 10)}-1{rng.integers(10)} 1{rng.integers(10)}:30:00"
                lines.append(f"c{customer:03d},SKU-{sku:02d},{rng.integers(1, 9)},{day},3")
    path = tmp_path / "purchases.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def articles(tmp_path: Path) -> Path:
    lines = ["id,title,genres"]
    lines += [f"SKU-{k:02d},Article {k},{'Tea|Gifts' if k % 2 else 'Coffee'}" for k in range(40)]
    path = tmp_path / "articles.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def matinee(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def complaint(*words: str | Path) -> str:
    result = matinee(*words)
    assert isinstance(result.exception, MatineeError), result.output
    return str(result.exception)


def config_file(folder: Path, **changes: Any) -> Path:
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")
    return path


@pytest.mark.parametrize("described", [True, False])
def test_a_shop_runs_end_to_end(
    tmp_path: Path, shop: Path, articles: Path, described: bool
) -> None:
    run = tmp_path / "run"
    words: list[str | Path] = [
        "simulate",
        "--config",
        config_file(tmp_path),
        "--out",
        run,
        "--workers",
        "1",
    ]
    words += ["--data", shop, *SHOP, "--set", f"days={3 if described else 1}"]
    words += ["--metadata", articles] if described else []
    done = matinee(*words)
    assert done.exit_code == 0, done.output
    expected = "table purchases.csv, 80 users, 40 items, 1,200 played items from 2024-"
    assert expected in done.stderr
    assert "plays mapped to stars: 3 for a user's usual number" in done.stderr
    results = json.loads((run / "results.json").read_text("utf-8"))
    assert results["data"].startswith(expected)
    pages = [arm["pages"] for arm in results["arm_runs"].values()]
    assert len(pages) == 2
    assert min(pages) > 0


@pytest.mark.parametrize("genres", [True, False])
def test_options_and_config_say_the_same(
    tmp_path: Path, shop: Path, articles: Path, genres: bool
) -> None:
    columns = {"users": "customer", "items": "sku", "ratings": "quantity", "feedback": "plays"}
    columns |= {"timestamps": "bought_at", "path": str(shop)}
    if genres:
        columns |= {"metadata": str(articles)}
    by_config = load_settings(config_file(tmp_path, data=columns))
    by_options = load_settings(config_file(tmp_path), data=columns)
    assert by_config == by_options
    again = parse_settings(by_config.model_dump(mode="json"))
    assert again == by_config
    world = prepare(by_config).world
    # Articles with fewer buyers than a world asks for are left out.
    assert 30 < world.n_items < 40
    assert world.n_topics == (3 if genres else 0)


def test_options_change_what_a_config_says(tmp_path: Path, shop: Path) -> None:
    given = {"path": "elsewhere.csv", "users": "customer", "items": "sku", "ratings": "quantity"}
    config = config_file(tmp_path, data=given)
    settings = load_settings(config, data={"path": str(shop)}).data
    assert settings is not None
    assert (settings.path, settings.users) == (str(shop), "customer")
    plain = load_settings(config_file(tmp_path, data="some/folder")).data
    assert plain is not None
    assert plain.path == "some/folder"
    assert not plain.is_table


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"users": "u"}, "data.path: Field required"),
        ({"path": "x", "colour": 1}, "data.colour: Extra inputs are not permitted"),
        ({"path": "x", "feedback": "likes"}, "data.feedback"),
        ({"path": ""}, "data.path"),
        (7, "data: "),
    ],
)
def test_bad_settings_of_data_are_refused(tmp_path: Path, data: Any, expected: str) -> None:
    with pytest.raises(MatineeError, match=expected):
        load_settings(config_file(tmp_path, data=data))


def test_info_of_a_table(shop: Path, articles: Path) -> None:
    result = matinee("data", "info", shop, *SHOP, "--metadata", articles, "--json")
    assert result.exit_code == 0, result.output
    info = json.loads(result.stdout)
    assert (info["users"], info["items"], info["interactions"]) == (80, 40, 1200)
    assert info["density"] == pytest.approx(1200 / (80 * 40))
    assert info["gini_users"] == 0.0
    assert info["catalogue"]["genre_names"] == 3
    assert info["problems"] == []
    assert info["usable_items"] == sum(
        len({line.split(",")[0] for line in shop.read_text().splitlines() if f"-{k:02d}," in line})
        >= LEAST_RATINGS
        for k in range(40)
    )
    text = matinee("data", "info", shop, *SHOP[:6], "--feedback", "plays").stdout
    assert "times          not known" in text
    assert "note           no column of times" in text
    assert "note           no genres" in text


def test_info_takes_the_data_of_a_config(tmp_path: Path) -> None:
    path = tmp_path / "stars.csv"
    path.write_text("who;what;mark;at\na;x;20;86400000\na;y;80;0\nb;x;60;0\n", encoding="utf-8")
    data: dict[str, object] = {"path": str(path), "users": "who", "items": "what"}
    data |= {"ratings": "mark"}
    data |= {"timestamps": "at", "delimiter": ";", "time_unit": "ms", "rating_scale": [0, 100]}
    config = config_file(tmp_path, data=data)
    result = matinee("data", "info", "--config", config, "--json")
    assert result.exit_code == 0, result.output
    info = json.loads(result.stdout)
    assert (info["users"], info["times"]["days"]) == (2, 1.0)
    assert "must have the column of users" in complaint(
        "data", "info", "--config", config, "--users", "client"
    )
    assert "must have a section `data`" in complaint(
        "data", "info", "--config", config_file(tmp_path)
    )
    assert "data.path: Field required" in complaint("data", "info")
    assert "set delimiter if it is not ','" in complaint("data", "info", path)


def test_info_tells_what_is_missing(tmp_path: Path, shop: Path) -> None:
    assert "there are customer, sku, quantity, bought_at, till" in complaint("data", "info", shop)
    words: list[str | Path] = ["data", "info", shop, "--users", "client", *SHOP[2:]]
    assert "must have the column of users; there are customer, sku" in complaint(*words)
    assert "goes with data.users and data.items" in complaint(
        "data", "info", shop, "--ratings", "quantity"
    )
    assert "data.feedback: Input should be" in complaint(
        "data", "info", shop, *SHOP[:8], "--feedback", "likes"
    )
    assert "fetch it: matinee data fetch ml-25m" in complaint("data", "info", "25m")
    assert "must be a folder that exists" in complaint("data", "info", tmp_path / "nowhere")


def films(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "movies.csv").write_text("movieId,title,genres\n1,A (1999),War\n2,B (1999),War\n")
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,1,4.0,5\n1,2,3.0,86405\n"
    )
    return folder


def test_list_says_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert matinee("data", "list").stdout.count("not fetched") == 3
    folder = films(tmp_path / "home" / "data" / "ml-latest-small")
    assert f"; {folder}" in matinee("data", "list").stdout
    monkeypatch.setenv("MATINEE_DATA", "my/table.csv")
    listed = json.loads(matinee("data", "list", "--json").stdout)
    assert [row["present"] for row in listed["sets"]] == [True, False, False]
    assert listed["MATINEE_DATA"] == "my/table.csv"


def test_a_fetched_set_goes_by_its_name(tmp_path: Path) -> None:
    folder = films(tmp_path / "home" / "data" / "ml-latest-small")
    result = matinee("data", "info", "latest-small", "--json")
    assert json.loads(result.stdout)["times"]["days"] == 1.0
    assert matinee("data", "fetch").stdout == f"{folder}\n"
    assert matinee("data", "fetch", "--dir", folder.parent).stdout == f"{folder}\n"


def test_offline_is_one_line(tmp_path: Path) -> None:
    assert complaint("data", "fetch") == "MATINEE_OFFLINE is set, so ml-latest-small is not fetched"
    result = matinee("data", "fetch", "--if-possible", "--quiet")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("note: MATINEE_OFFLINE")
    assert not (tmp_path / "home").exists()
    assert "must be one of ml-latest-small" in complaint("data", "fetch", "imdb")


class _Silent(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(60)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def silent_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Silent)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.socket.close()


def test_if_possible_does_not_wait_for_a_silent_server(silent_server: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "MATINEE_OFFLINE"}
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "matinee_platform.cli", "data", "fetch", "--if-possible"],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "MATINEE_DATA_URL": silent_server},
    )
    # Four seconds by its own clock; the rest is the start of Python on a busy machine. A wait for
    # the server itself would last a minute.
    assert time.monotonic() - start < 30
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "note: ml-latest-small is not fetched: no answer within 4 s\n"
