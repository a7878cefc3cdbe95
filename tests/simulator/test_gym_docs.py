"""The guide to the environments runs as written; the example says what it needs."""

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
def test_the_guide_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "gymnasium.md").read_text("utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "gymnasium.md", "exec"), names)  # noqa: S102
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"user \d+: [\d.]+ in \d+ days", first)
    assert second.endswith("; 25.06 are expected of the best policy")
    clicks = names["clicks"]
    assert isinstance(clicks, float)
    assert clicks > 0


def test_the_example_names_the_library_that_it_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "examples" / "gym_tabular_agent.py"))
    assert "pip install stable-baselines3" in str(stopped.value.code)
    assert "\n" not in str(stopped.value.code)
