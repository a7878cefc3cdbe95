"""What a line for each request costs the service, on and off.

    python benchmarks/service/request_lines.py [--requests N] [--turns N]

Drives the application without a network: decisions of the small parts in memory, one after
another, lines into a file. CPU time of the process; turns alternate, the least and the median are
told. "Without" is the application without the setting: what it takes to look whether it is set is
measured by itself.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
import timeit
from pathlib import Path
from typing import Any

from matinee_platform.service.app import create_app
from matinee_platform.service.log_lines import service_log
from matinee_platform.service.testing_parts import make_bench

_BODY = b'{"experiment":"home","unit":"user 17"}'
_SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/v1/decisions",
    "raw_path": b"/v1/decisions",
    "query_string": b"",
    "root_path": "",
}
_HEADERS = [
    (b"host", b"localhost"),
    (b"content-type", b"application/json"),
    (b"content-length", b"%d" % len(_BODY)),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
]


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": _BODY, "more_body": False}


async def _send(message: Any) -> None:
    pass


async def _turn(app: Any, requests: int) -> float:
    began = time.process_time()
    for _ in range(requests):
        await app({**_SCOPE, "headers": list(_HEADERS)}, _receive, _send)
    return (time.process_time() - began) / requests * 1e6


async def _measure(requests: int, turns: int) -> None:
    found: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "lines").open("w") as lines:
        limits = {"requests_per_second": 1e9, "burst": 1_000_000_000}
        for _ in range(turns):
            for wanted in found:
                bench = make_bench(Path(folder), limits=limits, request_lines=wanted)
                log = service_log(lines)
                app = create_app(bench.settings, clock=bench.clock, parts=bench.parts(), log=log)
                async with app.router.lifespan_context(app):
                    await _turn(app, requests // 10)
                    found[wanted].append(await _turn(app, requests))
    for wanted, values in found.items():
        name = "with lines" if wanted else "without"
        print(f"{name:12} least {min(values):7.1f} us, median {statistics.median(values):7.1f} us")
    check = min(timeit.repeat("e._l is not None", "class E: _l = None\ne = E()", number=10**6))
    share = check / min(found[False])
    print(f"looking whether it is set: {check:.3f} us, {100.0 * share:.3f} % of a request")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    asyncio.run(_measure(options.requests, options.turns))
