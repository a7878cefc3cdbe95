"""Policies as files: read back to the last bit, their unknown items out of reach, faults named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_platform.ope.inputs.policy_table import (
    policy_frequencies,
    read_policy_table,
    write_policy_table,
)
from matinee_platform.ope.inputs.table import table_log
from matinee_platform.ope.inputs.target_law import logged_stream
from matinee_policies.errors import ConfigError, ContextError, DataError

TABLE = pd.DataFrame(
    {
        "item": ["a, b", 'say "c"', "d", "a, b"],
        "position": [1, 2, 1, 2],
        "reward": [0.0, 1.0, 0.0, 1.0],
        "p": [0.5, 0.5, 0.25, 1.0],
    }
)


def made_up_log() -> ActionLog:
    columns = {"action": "item", "reward": "reward", "propensity": "p", "position": "position"}
    return table_log(TABLE, columns)


def written(path: Path, *rows: str, header: str = "item,position,probability") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_table_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    log = made_up_log()
    raw = np.random.default_rng(0).uniform(size=(3, 2))
    table = raw / raw.sum(axis=0)
    write_policy_table(tmp_path / "policy.csv", log, table)
    again, law = read_policy_table(tmp_path / "policy.csv", log)
    assert again.items == log.items == ("a, b", "d", 'say "c"')
    (batch,) = again.stream()
    np.testing.assert_array_equal(law(batch)[:, 0], table.T[batch.positions[:, 0]])
    with pytest.raises(ConfigError, match="must not be there yet"):
        write_policy_table(tmp_path / "policy.csv", log, table)
    with pytest.raises(ContextError, match=r"must be \(3, 2\) for this log, got \(2, 3\)"):
        write_policy_table(tmp_path / "other.csv", log, table.T)


def test_frequencies_are_shares_of_each_position() -> None:
    assert policy_frequencies(made_up_log()).tolist() == [[0.5, 0.5], [0.5, 0.0], [0.0, 0.5]]


def test_items_that_the_log_does_not_know_are_out_of_reach(tmp_path: Path) -> None:
    path = written(
        tmp_path / "p.csv", "d,0.5", "new,0.25", '"a, b",0.25', header="item,probability"
    )
    log, law = read_policy_table(path, made_up_log())
    assert log.items == ("a, b", "d", 'say "c"', "new")
    (batch,) = logged_stream(log, law)()
    assert batch.target[:, 0].tolist() == [0.25, 0.0, 0.5, 0.25]
    # "d" stands at position 1 alone.
    assert batch.unreachable[:, 0].tolist() == [0.25, 0.75, 0.25, 0.75]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["d,1,0.5", "d,2,1"], "probabilities of position 1 must sum to 1, got 0.5"),
        (["d,1,1"], "probabilities of position 2 must sum to 1, got 0.0"),
        (["d,1,1", "d,2,-0.5"], "line 3: probability must be within 0 and 1, got -0.5"),
        (["d,1,1", "d,2,much"], "line 3: probability must be a number, got 'much'"),
        (["d,0,1"], "line 2: position must be a whole number from 1 to 1000, got 0"),
        (["d,1,1", "d,1,0"], "line 3: each item and position must have one row"),
    ],
)
def test_what_is_no_policy_is_refused(tmp_path: Path, rows: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_policy_table(written(tmp_path / "p.csv", *rows), made_up_log())


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "p.csv", "d,1", header="item,weight")
    with pytest.raises(DataError, match="must have the column of probability"):
        read_policy_table(path, made_up_log())
