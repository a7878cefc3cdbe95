"""Every benchmark runs in its tiny form and speaks well; no figure is judged here.

Greedy slates of the numpy peers are compared with their definitions, and ours with them.
"""

import doctest
import json
import math
import re
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import harness
import limits
import run_all
import table
from harness import Bars, Limit, LimitFigure, Peer, PeerFigure, Row, Work, compare
from matinee_policies.greedy_slates import greedy_dpp, greedy_mmr
from peer_process import WITHOUT_PEERS
from peers import install, numpy_slates
from peers.made_up import slates
from slate_rows import Greedy

ROOT = Path(__file__).parents[1]
PROGRAMS = run_all.programs()
ROW = Row(name="walk", size="far", unit="steps/s", ours=30.0)


def names_of(programs: list[Path]) -> list[str]:
    return [path.name for path in programs]


LONG = {"scale.py", "serve.py"}
APART = {"growth.py", "live_decision.py", "serve.py", "simulate.py", "vowpal_wabbit.py"}
"""These start processes or look at their own; the others share the one that tests."""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(path, marks=pytest.mark.long) if path.name in LONG else path
        for path in PROGRAMS
        if path.name in LONG | APART
    ],
    ids=lambda path: path.name,
)
def test_a_program_gives_rows(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WITHOUT_PEERS, "1")
    report = run_all.run_program(program, ["--tiny"])
    assert report.failure == ""
    assert report.about.endswith(".")
    check_rows(report.rows)


@pytest.mark.parametrize(
    "program",
    [path for path in PROGRAMS if path.name not in LONG | APART],
    ids=lambda path: path.name,
)
def test_a_small_program_gives_rows(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(WITHOUT_PEERS, "1")
    monkeypatch.setattr(sys, "argv", [str(program), "--json", "--tiny"])
    about = runpy.run_path(str(program), run_name="__main__")["__doc__"]
    assert about.split("\n\n")[0].endswith(".")
    told = json.loads(capsys.readouterr().out)
    assert told["program"] == program.name
    check_rows([Row.from_json(row) for row in told["rows"]])


def check_rows(rows: Sequence[Row]) -> None:
    assert len(rows) > 0
    for row in rows:
        assert math.isfinite(row.ours)
        assert row.name
        assert row.unit
        assert row.limit is None or (row.limit.rate > 0.0 and row.limit.definition)
        assert row.peer is None or (row.peer.rate > 0.0) != bool(row.peer.missing)
        assert Row.from_json(json.loads(json.dumps(row.as_json()))) == row


def test_the_page_names_every_program_and_no_other() -> None:
    named = re.findall(r"^## `(.+)`$", run_all.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert named == names_of(PROGRAMS)


def test_the_page_does_not_tell_where_things_lie() -> None:
    report = table.Report("walk.py", "Walks.", failure=f"no such file: {ROOT / 'walk.py'}")
    assert "Failed: no such file: .../walk.py" in table.page([report], forms="full forms")
    assert str(ROOT) not in run_all.PAGE.read_text(encoding="utf-8")


def test_verdicts() -> None:
    peer, limit = PeerFigure("other", "1.0", 10.0), LimitFigure("read it once", 40.0)
    given = {"name": "walk", "size": "far", "unit": "steps/s", "peer": peer, "limit": limit}

    def verdict(bars: Bars) -> bool | None:
        return Row(**given, ours=30.0, bars=bars).met  # type: ignore[arg-type]

    assert verdict(Bars(peer=3.0, limit=0.75)) is True
    assert verdict(Bars(peer=3.1)) is False
    assert verdict(Bars(limit=0.76)) is False
    assert verdict(Bars(peer=3.0, limit=0.76)) is False
    assert verdict(Bars(at_most=30.0)) is True
    assert verdict(Bars(at_most=29.0)) is False
    assert verdict(Bars()) is None


def test_a_bar_against_a_missing_peer_is_no_verdict() -> None:
    absent = PeerFigure("other", missing="not installed")
    row = Row(name="walk", size="far", unit="s", ours=1.0, peer=absent, bars=Bars(peer=2.0))
    assert row.met is None
    assert row.over_peer is None


def test_ours_and_limit_are_measured_in_the_same_unit() -> None:
    calls: list[str] = []
    row = compare(
        "walk",
        size="far",
        unit="steps/s",
        ours=Work(lambda: calls.append("ours"), units=10.0),
        limit=Limit("nothing", Work(lambda: calls.append("limit"), units=1.0), scale=10.0),
        effort=harness.TINY,
    )
    assert set(calls) == {"ours", "limit"}
    assert row.limit is not None
    assert row.limit.rate > 0.0
    assert row.ours > 0.0


def test_a_peer_answers_from_a_process_of_its_own() -> None:
    settings: dict[str, int | str] = {"kind": "mmr", "B": 2, "K": 5, "m": 3, "slots": 2, "seed": 1}
    figure = ask(Peer("numpy", "numpy_slates", None, settings))
    assert figure.missing == ""
    assert figure.version == np.__version__
    assert figure.rate > 0.0


def test_a_peer_that_is_not_installed_names_the_command() -> None:
    figure = ask(Peer("other", "numpy_slates", "never_installed"))
    assert figure == PeerFigure("other", missing="not installed: make bench-peers")


def test_no_peer_is_started_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WITHOUT_PEERS, "1")
    figure = ask(Peer("numpy", "numpy_slates", None, {"kind": "mmr"}))
    assert figure == PeerFigure("numpy", missing="left out, as asked")


def test_a_figure_of_a_peer_is_not_measured_again() -> None:
    figure = PeerFigure("other", "1.0", 3.0)
    assert ask(figure) is figure


def test_a_peer_that_fails_tells_why() -> None:
    figure = ask(Peer("other", "numpy_slates", None, {"kind": "mmr"}))
    assert figure.missing.startswith("failed: KeyError")


def ask(peer: Peer | PeerFigure) -> PeerFigure:
    row = compare(
        "walk",
        size="far",
        unit="steps/s",
        ours=Work(lambda: None, units=1.0),
        peer=peer,
        effort=harness.TINY,
    )
    assert row.peer is not None
    return row.peer


def test_a_program_prints_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    peer, limit = PeerFigure("other", "1.0", 10.0), LimitFigure("read it once", 40.0)
    row = Row("walk", "far", "steps/s", 30.0, peer, limit, Bars(peer=2.0, limit=0.5), "By day.")
    harness.main("Walks.", lambda effort: [row], argv=["--tiny"])
    said = capsys.readouterr().out
    for part in ("walk, far", "30 steps/s", "met", "3x (bar 2x)", "0.75 (bar 0.5)", "By day."):
        assert part in said
    assert "NOT met" not in said


def test_the_page_shows_rows_and_bars() -> None:
    rows = (
        Row("walk", "far", "steps/s", 30.0, PeerFigure("other", "1.0", 10.0), bars=Bars(peer=4.0)),
        Row("run", "far", "steps/s", 50.0, PeerFigure("other", missing="not installed: do a | b")),
        Row("jump", "high", "µs", 5.0, bars=Bars(at_most=6.0), note="In the air."),
    )
    page = table.page([table.Report("walk.py", "Walks.", rows)], forms="full forms")
    assert "| walk, far | 30 steps/s | 10, other 1.0 | 3x (bar 4x) |  |  | **no** |" in page
    assert "| run, far | 50 steps/s | other: not installed: do a / b |  |  |  |  |" in page
    assert "| jump, high | 5 µs (bar: at most 6) |  |  |  |  | yes |" in page
    assert "- In the air." in page
    assert "make bench-peers" in page


def test_a_program_that_fails_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ending = '\nif __name__ == "__main__":\n    '
    rows = json.dumps({"rows": [ROW.as_json()]})
    (tmp_path / "bad.py").write_text(f'"""Fails."""\n{ending}raise ValueError("no luck")\n')
    (tmp_path / "good.py").write_text(f'"""Works."""\n{ending}print({rows!r})\n')
    (tmp_path / "part.py").write_text('"""No program."""\n')
    monkeypatch.setattr(run_all, "PROGRAMS", tmp_path)
    assert run_all.main(["--tiny", "--page", str(tmp_path / "page.md")]) == 1
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "## `bad.py`\n\nFails.\n\nFailed: ValueError: no luck" in page
    assert "| walk, far | 30 steps/s |" in page
    assert "part.py" not in page
    assert "bad.py" in capsys.readouterr().out


def test_numbers_of_the_page() -> None:
    assert doctest.testmod(table).failed == 0


def test_the_reading_limit_reads_all_of_its_block() -> None:
    block = np.arange(8 * 13, dtype=np.int64).reshape(8, 13)
    assert limits._read(block, 1) == block.sum()


def test_every_requirement_of_a_peer_is_pinned() -> None:
    folder = Path(install.__file__).parent
    environments = install.ENVIRONMENT_OF.values()
    files = {step.requirements for made in environments for step in made.steps}
    assert files == {path.name for path in folder.glob("*.txt")}
    for name in files:
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        for line in lines:
            assert re.fullmatch(r"#.*|[a-z-]+==[0-9a-z.]+", line), line


def test_a_failed_install_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "ENVIRONMENTS", tmp_path)
    with pytest.raises(install.InstallError) as caught:
        install.install("other", install.Environment((), "obp_linear"), "false")
    assert "\n" not in str(caught.value)


def test_importing_the_frame_loads_no_peer() -> None:
    code = "import harness, limits, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=run_all.PROGRAMS,
        check=True,
        capture_output=True,
        text=True,
    )
    assert not {"obp", "coba", "mabwiser", "contextualbandits"} & set(done.stdout.split())


@pytest.mark.parametrize("seed", range(5))
def test_numpy_mmr_is_its_definition(seed: int) -> None:
    value, rows, table = slates(seed, B=1, K=12, m=4)
    values, vectors = value[0], table[rows[0]]
    cosines = vectors.astype(float) @ vectors.T.astype(float)
    picks: list[int] = []
    for _ in range(6):
        redundancy = cosines[:, picks].max(axis=1, initial=0.0)
        utility = values - numpy_slates.PRICE * redundancy
        utility[picks] = -np.inf
        picks.append(int(np.argmax(utility)))
    assert numpy_slates.mmr(values, vectors, slots=6) == picks


@pytest.mark.parametrize("seed", range(5))
def test_numpy_dpp_is_greedy_in_the_determinant(seed: int) -> None:
    value, rows, table = slates(seed, B=1, K=12, m=8)
    values, vectors = value[0], table[rows[0]]
    cosines = vectors.astype(float) @ vectors.T.astype(float)
    picks: list[int] = []
    for _ in range(5):
        gains = np.full(12, -np.inf)
        for item in set(range(12)) - set(picks):
            chosen = [*picks, item]
            log_det = np.linalg.slogdet(cosines[np.ix_(chosen, chosen)])[1]
            gains[item] = values[chosen].sum() + numpy_slates.PRICE * log_det
        picks.append(int(np.argmax(gains)))
    assert numpy_slates.dpp(values, vectors, slots=5) == picks


@pytest.mark.parametrize(("kind", "greedy"), [("mmr", greedy_mmr), ("dpp", greedy_dpp)])
def test_ours_and_numpy_pick_the_same_slates(kind: str, greedy: Greedy) -> None:
    values, rows, table = slates(3, B=50, K=30, m=16)
    ours = greedy(values, (rows, table), slots=8, price=numpy_slates.PRICE)
    pick = numpy_slates.KINDS[kind]
    assert ours.tolist() == [
        pick(value, table[chosen], slots=8) for value, chosen in zip(values, rows, strict=True)
    ]
