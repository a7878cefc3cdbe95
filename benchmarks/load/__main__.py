"""Every load on the live service, one after another; the exit status is 1 if a promise was broken.

python -m load [--seconds N]
"""

from load import growth, learner_busy, learner_lag, overload, retention, rolling_restart, soak
from load.promise import end, main

PROGRAMS = (
    learner_busy.measure,
    overload.measure,
    rolling_restart.measure,
    learner_lag.measure,
    retention.measure,
    soak.measure,
    growth.measure,
)

if __name__ == "__main__":
    end(main(__doc__, PROGRAMS, seconds=20.0))
