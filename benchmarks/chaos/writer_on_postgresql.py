"""Kill a writer of the event log in a PostgreSQL of its own, again and again (R1).

    python -m chaos.writer_on_postgresql [--kills N]

The server lives as long as the program.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chaos.databases import database

_PROGRAM = Path(__file__).resolve().parents[1] / "service" / "event_chaos.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `service/event_chaos.py` on a new server; its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=30)
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="matinee-writer-") as name:
        folder = Path(name)
        with database("postgresql", folder) as kept:
            command = [sys.executable, str(_PROGRAM), str(folder / "data")]
            options = ["--kills", str(given.kills), "--database", kept.address]
            return subprocess.run([*command, *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
