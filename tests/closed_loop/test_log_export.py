"""The log as Parquet: every value of every row, in files that another tool reads by itself."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.decision_log import KINDS, read_parts
from matinee_platform.log_export import export_log
from matinee_policies.errors import ConfigError, DataError


def silent(line: str) -> None:
    """Progress nobody waits for."""


def test_the_log_is_exported_row_by_row(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "parquet"
    done = CliRunner().invoke(app, ["export", str(tiny_run), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    arms = sorted(path.name for path in (tiny_run / "decisions").iterdir())
    assert sorted(path.name for path in (out / "decisions").iterdir()) == arms
    rows = dict.fromkeys(KINDS, 0)
    for arm in arms:
        for kind in KINDS:
            ours = pd.concat([part.to_pandas() for part in read_parts(tiny_run, kind, arm)])
            files = sorted((out / kind / arm).iterdir())
            theirs = pd.concat([pq.ParquetFile(path).read().to_pandas() for path in files])
            assert list(ours.columns) == list(theirs.columns)
            for name in ours.columns:
                mine, other = (np.stack(frame[name].to_list()) for frame in (ours, theirs))
                np.testing.assert_array_equal(mine, other)
            rows[kind] += len(ours)
    assert told["rows"] == rows
    assert min(rows.values()) > 10
    assert told["files"] == len(list(out.rglob("*.parquet")))
    assert not list(out.rglob("*.partial"))


def test_a_folder_that_holds_something_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(ConfigError, match="must be a folder that is empty or not there yet"):
        export_log(tiny_run, ["lin_ucb"], tmp_path, report=silent)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_damaged_part_is_not_exported(tmp_path: Path) -> None:
    part = tmp_path / "run" / "decisions" / "arm" / "part-00000.arrow"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"ARROW1 not really ARROW1")
    with pytest.raises(DataError, match=r"part-00000\.arrow: must be a complete Arrow file"):
        export_log(tmp_path / "run", ["arm"], tmp_path / "out", report=silent)
    assert not list((tmp_path / "out").rglob("*.parquet"))
