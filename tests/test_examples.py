"""What the documentation shows runs."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_library_example_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / "policies_as_library.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "equal True" in done.stdout


def test_the_python_of_the_library_page_runs() -> None:
    text = (ROOT / "docs" / "policies_as_library.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "policies_as_library.md", "exec"), {})  # noqa: S102


def test_the_experiments_of_the_pages_and_examples_are_valid() -> None:
    import yaml

    from matinee_platform.offline.run import check_settings
    from matinee_platform.settings import load_settings, parse_settings

    text = (ROOT / "docs" / "your_own_experiment.md").read_text("utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        check_settings(parse_settings(yaml.safe_load(block)))
    # Settings of the live service are another kind of file; its own tests read them.
    examples = {path for path in (ROOT / "examples").rglob("*.yaml") if path.name != "serve.yaml"}
    for path in sorted(examples):
        check_settings(load_settings(path))
