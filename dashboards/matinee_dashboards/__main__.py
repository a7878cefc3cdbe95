"""`python -m matinee_dashboards` writes the JSON of every dashboard into dashboards/grafana/."""

import argparse
from pathlib import Path

from matinee_dashboards.boards import BOARDS
from matinee_dashboards.grafana import dashboard_json

FOLDER = Path(__file__).resolve().parents[1] / "grafana"


def main() -> None:
    """Write every dashboard; files of dashboards that are no more go."""
    parser = argparse.ArgumentParser(prog="matinee_dashboards", description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the files")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    made = {folder / f"{board.uid}.json": dashboard_json(board) for board in BOARDS}
    for stale in set(folder.glob("*.json")) - set(made):
        stale.unlink()
    for file, text in made.items():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
