"""Where the time of a run goes, by stage."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class StageClock:
    """Adds up wall time per named stage; a stage within another counts as itself only.

    Example:
        >>> clock = StageClock()
        >>> with clock.stage("decide"):
        ...     pass
        >>> list(clock.seconds)
        ['decide']
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._within: list[float] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body under `name`."""
        start = time.perf_counter()
        self._within.append(0.0)
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] += spent - self._within.pop()
            if self._within:
                self._within[-1] += spent
