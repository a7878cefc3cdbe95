"""Progress of a validation on standard error: a line per finding."""

from typing import Protocol

from rich.console import Console


class _Finding(Protocol):
    @property
    def key(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def verdict(self) -> str: ...


class ValidationProgress:
    """Prints what has been found, as it is.

    Args:
        quiet: whether to print nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._done = 0

    def announce(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def report(self, finding: _Finding, seconds: float) -> None:
        """Print one finding."""
        self._done += 1
        self.announce(
            f"{self._done:3} {finding.key:8} {finding.verdict:15} {finding.title} ({seconds:.1f} s)"
        )
