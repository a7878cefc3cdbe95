"""The one module that knows Vowpal Wabbit: opens regressors, feeds them, reads them.

It uses the raw binding `pylibvw`, whose parse, learn and predict cost a tenth of the convenience
wrapper around it. What one has to know of it, and what this module does about it:

- A model file that was cut short loads without complaint. Callers keep a digest of the bytes.
- Numbers that are no numbers are accepted, and newline, `|` and `:` change an example. Only text
  of `vw_text.rows_text` goes in, made of finite numbers, and the examples read are counted.
- Predictions come clamped to the labels seen so far; `predict` gives them as they were before.
- Examples must be finished one by one, whole, after use; those of a workspace that failed are
  abandoned together with it.

Every failure of Vowpal Wabbit becomes a `MatineeError` that carries its text.
"""

import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pylibvw

from matinee_policies.arrays import FloatArray, UInt8Array
from matinee_policies.errors import ConfigError, ContextError, MatineeError, SnapshotError

CHUNK_ROWS = 256
"""Examples parsed together: each takes tens of kilobytes inside Vowpal Wabbit."""


FAILURES = (RuntimeError, ValueError, TypeError, IndexError, OSError)
"""What the binding raises."""


class Workspace:
    """An open regressor of squared loss without a constant.

    Closes when left as a context, when `close` is called or when nobody holds it any more.

    Args:
        options: words of a command line, e.g. `["--bit_precision", "18"]`.
        model: bytes that `model` gave under the same options; `None` starts with zeros.

    Raises:
        ConfigError: if Vowpal Wabbit refuses the options.
        SnapshotError: if it refuses the model.
    """

    def __init__(self, options: Sequence[str], *, model: UInt8Array | None = None) -> None:
        words = ["--quiet", "--noconstant", "--preserve_performance_counters", *options]
        if model is None:
            with failures(ConfigError, "take its options"):
                self._vw: Any = pylibvw.vw(words)
        else:
            with (
                failures(SnapshotError, "load its model"),
                tempfile.TemporaryDirectory() as folder,
            ):
                path = Path(folder) / "model"
                path.write_bytes(model.tobytes())
                self._vw = pylibvw.vw([*words, "--initial_regressor", str(path)])
        self._finish = weakref.finalize(self, self._vw.finish)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether its memory has been given back."""
        return not self._finish.alive

    def close(self) -> None:
        """Give its memory back; a second call does nothing."""
        self._finish()

    def learn(self, text: str, *, rows: int) -> None:
        """Learn from examples, in order.

        Args:
            text: lines `label weight features`.
            rows: how many there are.

        Raises:
            ContextError: if Vowpal Wabbit fails or reads another number of examples; the
                workspace must then be closed.
        """
        learn, finish = self._vw.learn, self._vw._finish_example
        with failures(ContextError, "learn"):
            examples = self._parsed(text, rows)
            for example in examples:
                learn(example)
            for example in examples:
                finish(example)

    def predict(self, text: str, *, rows: int) -> FloatArray:
        """Predictions before any clamp, `float64 [rows]`; arguments and errors as `learn`."""
        predict, finish = self._vw.predict, self._vw._finish_example
        with failures(ContextError, "predict"):
            examples = self._parsed(text, rows)
            for example in examples:
                predict(example)
            values = [example.get_partial_prediction() for example in examples]
            for example in examples:
                finish(example)
        return np.array(values, dtype=np.float64)

    def feature_index(self, namespace: str, feature: int) -> int:
        """Which weight a numbered feature of a namespace has."""
        self._check_open()
        hashed = self._vw.hash_feature(str(feature), self._vw.hash_space(namespace))
        return int(hashed & (self._vw.num_weights() - 1))

    def weights(self, indices: Sequence[int]) -> FloatArray:
        """Weights by `feature_index`, `float64`, exact."""
        self._check_open()
        return np.array([self._vw.get_weight(index, 0) for index in indices], dtype=np.float64)

    def model(self) -> UInt8Array:
        """The whole state, from which a workspace learns on to the last bit, `uint8`."""
        with failures(ContextError, "save its model"), tempfile.TemporaryDirectory() as folder:
            self._check_open()
            path = Path(folder) / "model"
            self._vw.save(str(path))
            return np.frombuffer(path.read_bytes(), dtype=np.uint8)

    def _parsed(self, text: str, rows: int) -> list[Any]:
        self._check_open()
        examples: list[Any] = self._vw._parse(text)
        if len(examples) != rows:
            raise RuntimeError(f"text of {rows} examples was read as {len(examples)}")
        return examples

    def _check_open(self) -> None:
        # The raw binding would touch freed memory.
        if self.closed:
            raise ContextError("workspace must be open, got a closed one")


@contextmanager
def failures(error_type: type[MatineeError], purpose: str) -> Iterator[None]:
    """Turn what the binding raises into an error of ours."""
    try:
        yield
    except MatineeError:
        raise
    except FAILURES as error:
        raise error_type(f"Vowpal Wabbit could not {purpose}: {error}") from None
