from pathlib import Path

import pytest

from matinee_policies.errors import (
    ConfigError,
    ContextError,
    DataError,
    MatineeError,
    SnapshotError,
)


@pytest.mark.parametrize("error", [ConfigError, ContextError, DataError, SnapshotError])
def test_every_error_is_a_matinee_error(error: type[Exception]) -> None:
    assert issubclass(error, MatineeError)


def test_a_data_error_says_where_what_and_why() -> None:
    error = DataError("ratings.csv", rule="rating must be within 0.5 and 5.0", line=7, value="x")
    assert str(error) == "ratings.csv, line 7: rating must be within 0.5 and 5.0, got 'x'"
    assert (error.path, error.line, error.value) == (Path("ratings.csv"), 7, "x")
    assert str(DataError(Path("a.csv"), rule="must not be empty")) == "a.csv: must not be empty"
