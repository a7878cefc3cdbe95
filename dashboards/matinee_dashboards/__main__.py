"""`python -m matinee_dashboards` writes the JSON of every dashboard into dashboards/grafana/.

With `--runbooks` dashboards and alerts lead to that address: it goes into the rules as well.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from matinee_dashboards.boards import BOARDS
from matinee_dashboards.grafana import dashboard_json
from matinee_dashboards.runbooks import OF_DASHBOARDS, base_address, with_runbooks

FOLDER = Path(__file__).resolve().parents[1] / "grafana"
RULES = FOLDER.parent / "rules"


def main(words: Sequence[str] | None = None) -> None:
    """Write every dashboard; files of dashboards that are no more go."""
    parser = argparse.ArgumentParser(prog="matinee_dashboards", description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the dashboards")
    parser.add_argument("--rules", type=Path, default=RULES, help="folder of the rules")
    parser.add_argument(
        "--runbooks", type=base_address, help="address under which docs/ is served to your people"
    )
    asked = parser.parse_args(words)
    folder: Path = asked.out
    folder.mkdir(parents=True, exist_ok=True)
    runbooks = asked.runbooks or OF_DASHBOARDS
    made = {
        folder / f"{board.uid}.json": dashboard_json(board, runbooks=runbooks) for board in BOARDS
    }
    for stale in set(folder.glob("*.json")) - set(made):
        stale.unlink()
    if asked.runbooks is not None:
        for file in asked.rules.rglob("*.yml"):
            made[file] = with_runbooks(file.read_text(encoding="utf-8"), asked.runbooks)
    for file, text in made.items():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
