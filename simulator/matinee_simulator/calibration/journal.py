"""Keep every simulation of a calibration on disk, so that an interrupted one goes on.

The search is a pure function of what it is told. Run again, it asks for the same simulations in the
same order, and those that are in the journal are answered from it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from matinee_policies.errors import DataError
from matinee_simulator.calibration.fit import Simulator
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout.estimate import Estimate

_KIND = "matinee-calibration-journal"


class Journal:
    """A simulator that remembers what it was asked.

    Args:
        simulate: the model.
        path: of the file, one JSON value per line.
        identity: all that the model's answers depend on; a file of another identity is refused.
        resume: whether to read what the file holds; else it begins anew.

    Raises:
        DataError: the file to resume is damaged or of another calibration.
    """

    def __init__(
        self, simulate: Simulator, path: Path, *, identity: Mapping[str, Any], resume: bool
    ) -> None:
        self._simulate = simulate
        self._path = path
        self._known: dict[str, dict[str, Estimate]] = {}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        if resume and path.exists():
            self._read(digest)
        else:
            header = json.dumps({"kind": _KIND, "identity": digest})
            path.write_text(header + "\n", encoding="utf-8")
        self.answered = 0
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._known)

    def __call__(
        self, parameters: Parameters, names: Sequence[str], days: int
    ) -> dict[str, Estimate]:
        """The moments, from the file if they are there; see `fit.Simulator`."""
        asked = json.dumps([parameters.to_json(), list(names), days], sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()
        if key in self._known:
            self.answered += 1
            return self._known[key]
        moments = dict(self._simulate(parameters, names, days))
        self._known[key] = moments
        # NaN goes through JSON of Python's own.
        line = json.dumps({"key": key, "moments": {n: list(m) for n, m in moments.items()}})
        self._file.write(line + "\n")
        self._file.flush()
        return moments

    def _read(self, digest: str) -> None:
        lines = self._path.read_bytes().split(b"\n")
        # What an interruption cut off in mid-line is simulated again.
        whole, torn = lines[:-1], lines[-1]
        place = 1
        try:
            header = json.loads(whole[0]) if whole else {}
            if not isinstance(header, dict) or header.get("kind") != _KIND:
                raise DataError(self._path, rule="must be the journal of a calibration", line=1)
            for line in whole[1:]:
                place += 1
                entry = json.loads(line)
                moments = {name: Estimate(*pair) for name, pair in entry["moments"].items()}
                self._known[entry["key"]] = moments
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(
                self._path, rule="must be an undamaged journal; run without --resume", line=place
            ) from None
        if header.get("identity") != digest:
            raise DataError(
                self._path,
                rule="must be of the same data, targets, seeds and settings; run without --resume",
            )
        if torn:
            self._path.write_bytes(b"\n".join(whole) + b"\n")
