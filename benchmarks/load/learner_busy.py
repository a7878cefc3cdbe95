"""Do decisions stay quick while the learner works (R9)? The same load without and with one.

    python -m load.learner_busy [--seconds N]

200 requests a second by the clock, 200 rewards among them; the busy learner looks at every arm
twice a second, and there is always something that has matured.
"""

import asyncio

from live_service import LiveService
from load.asks import decision_or_clicks
from load.deployed import Deployed, wait_for_learner
from load.promise import end, main
from open_loop import Measured, open_loop
from promises import Promise

RATE = 200.0
_WARM_UP_SECONDS = 5.0


def measure(deployed: Deployed, seconds: float) -> list[Promise]:
    """p99 of both."""
    with deployed.service("idle", supervise_learner=False) as service:
        idle = _load(service, seconds, learner=False)
    with deployed.service("busy", learn_every_seconds=0.5) as service:
        busy = _load(service, seconds, learner=True)
    before, now = idle.percentile_ms(0.99), busy.percentile_ms(0.99)
    failed = sum(busy.statuses.values()) - busy.good
    bar = min(50.0, max(2.0 * before, before + 10.0))
    return [
        Promise(
            name="R9 p99 at 200 requests/s, learner busy",
            measured=f"{now:.1f} ms ({before:.1f} ms idle; p50 {busy.percentile_ms(0.5):.1f} ms; "
            f"{failed} failed)",
            asked=f"at most {bar:.1f} ms",
            kept=now <= bar and not failed,
        )
    ]


def _load(service: LiveService, seconds: float, *, learner: bool) -> Measured:
    service.start()
    if learner:
        wait_for_learner(service)
    offset = round(10 * RATE * _WARM_UP_SECONDS)
    asyncio.run(open_loop(service.port, decision_or_clicks, rate=RATE, seconds=_WARM_UP_SECONDS))
    found = asyncio.run(
        open_loop(
            service.port,
            lambda number: decision_or_clicks(offset + number),
            rate=RATE,
            seconds=seconds,
        )
    )
    service.stop()
    return found


if __name__ == "__main__":
    end(main(__doc__, [measure], seconds=20.0))
