"""Statistical promises of experiments and off-policy values, by simulation; status 1 if broken.

python -m stats [--quick] [--run RUN] [--only S1,S3] [--results docs/statistics.md]
"""

import argparse
import sys
from pathlib import Path

from promises import table
from stats.effort import FULL, QUICK
from stats.measured import NAMES, measured
from stats.results_page import update_results, write_results, write_tables


def main() -> int:
    """Run what is asked for and print the table as it grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, wider bars")
    parser.add_argument("--run", type=Path, help="a finished run to assign anew")
    parser.add_argument("--only", default=",".join(NAMES), help="as S1,S3")
    parser.add_argument("--results", type=Path, help="a Markdown page to write tables into")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    given = parser.parse_args()
    wanted = given.only.split(",")
    if unknown := set(wanted) - set(NAMES):
        parser.error(f"--only must name some of {', '.join(NAMES)}, got {', '.join(unknown)}")
    done = []
    for one in measured(
        wanted, QUICK if given.quick else FULL, run=given.run, workers=given.workers
    ):
        done.append(one)
        print(f"{table(one.promises)}\n  {one.cpu_seconds:.0f} s\n", flush=True)
    done.sort(key=lambda one: NAMES.index(one.name))
    found = [promise for one in done for promise in one.promises]
    if given.results is not None:
        size = "Quick form" if given.quick else "Full form"
        facts = f"{size}, {sum(one.cpu_seconds for one in done):.0f} s of one core."
        if set(wanted) == set(NAMES):
            write_results(given.results, found, facts=facts)
        else:
            update_results(given.results, found)
        for tables in filter(None, (one.tables for one in done)):
            write_tables(given.results, tables)
    broken = [one.name for one in found if not one.kept]
    print(f"{len(found) - len(broken)} of {len(found)} kept", *broken, sep="\n  ")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
