"""The statistical promises of experiments, by simulation; exit status 1 if one was broken.

python -m stats [--quick] [--run RUN] [--only S1,S3]
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from promises import Promise, table
from stats import (
    any_time,
    coverage,
    fair_arms,
    false_alarms,
    lost_exposure,
    ope_intervals,
    stated_power,
)
from stats.big_log import big_log
from stats.effort import FULL, QUICK, Effort

ON_A_LOG = {"S1": false_alarms.measure, "S2": any_time.measure}
MADE_UP: dict[str, Callable[[Effort], list[Promise]]] = {
    "S3": coverage.measure,
    "S3-ope": ope_intervals.measure,
    "S4": stated_power.measure,
    "S5": lost_exposure.measure,
    "S6": fair_arms.measure,
}


def main() -> int:
    """Run what is asked for and print the table as it grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, wider bars")
    parser.add_argument("--run", type=Path, help="a finished run to assign anew")
    parser.add_argument("--only", default=",".join([*ON_A_LOG, *MADE_UP]), help="as S1,S3")
    given = parser.parse_args()
    effort = QUICK if given.quick else FULL
    wanted = given.only.split(",")
    found: list[Promise] = []
    log = big_log(effort, run=given.run) if set(wanted) & set(ON_A_LOG) else None
    for name in wanted:
        start = time.process_time()
        if name in ON_A_LOG and log is not None:
            some = ON_A_LOG[name](log, effort)
        else:
            some = MADE_UP[name](effort)
        found += some
        print(f"{table(some)}\n  {time.process_time() - start:.0f} s\n", flush=True)
    broken = [one.name for one in found if not one.kept]
    print(f"{len(found) - len(broken)} of {len(found)} kept", *broken, sep="\n  ")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
