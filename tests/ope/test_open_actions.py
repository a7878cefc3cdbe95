"""The form of a log is told by its path; options that a form does not take are refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_platform.ope.inputs.dsjson_lines import write_dsjson
from matinee_platform.ope.inputs.obp_export import write_obp
from matinee_platform.ope.inputs.open_actions import LOG_FORMS, log_form, open_actions
from matinee_platform.ope.inputs.parquet_export import write_parquet
from matinee_platform.ope.inputs.table import table_log
from matinee_policies.errors import ConfigError, DataError

TABLE = pd.DataFrame({"a": ["x", "y", "x"], "r": [1.0, 0.0, 0.5], "p": [0.5, 0.25, 0.5]})
COLUMNS = {"action": "a", "reward": "r", "propensity": "p"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log in every form."""
    log = table_log(TABLE, COLUMNS)
    TABLE.to_csv(tmp_path / "log.csv", index=False)
    write_obp(tmp_path / "log.npz", log)
    write_dsjson(tmp_path / "log.json", log)
    write_parquet(tmp_path / "log.parquet", log)
    (tmp_path / "parts").mkdir()
    TABLE.to_parquet(tmp_path / "parts" / "part-0.parquet")
    (tmp_path / "obd").mkdir()
    (tmp_path / "obd" / "random_men.csv").write_text(
        ",timestamp,item_id,position,click,propensity_score,user-item_affinity_0\n"
        "0,2019-11-24 00:01:03+00:00,0,3,0,1.0,0.0\n"
    )
    return tmp_path


FORMS = {
    "log.csv": "table",
    "log.npz": "obp",
    "log.json": "dsjson",
    "log.parquet": "exported",
    "parts": "table",
    "obd": "open-bandit",
    "obd/random_men.csv": "open-bandit",
}


def rewards_of(log: ActionLog) -> list[float]:
    found: list[float] = np.concatenate([batch.rewards[:, 0] for batch in log.stream()]).tolist()
    return found


@pytest.mark.parametrize("name", FORMS)
def test_the_form_is_found_out(folder: Path, name: str) -> None:
    form = FORMS[name]
    assert log_form(folder / name) == form
    log = open_actions(
        folder / name, columns=COLUMNS if form == "table" else None, propensities=None
    )
    assert rewards_of(log) == ([0.0] if form == "open-bandit" else [1.0, 0.0, 0.5])
    assert set(FORMS.values()) == set(LOG_FORMS)


def test_a_form_that_is_named_is_taken(folder: Path) -> None:
    log = open_actions(folder / "log.parquet", form="table", columns={"action": "action",
                       "reward": "reward", "propensity": "propensity"})  # fmt: skip
    assert rewards_of(log) == [1.0, 0.0, 0.5]


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="must be a log that exists"):
        open_actions(folder / "none.csv")
    (folder / "notes.txt").write_text("words")
    with pytest.raises(DataError, match="must be a log of a form that is known: open-bandit, obp"):
        open_actions(folder / "notes.txt")
    (folder / "run").mkdir()
    (folder / "run" / "settings.json").write_text(json.dumps({"name": "run"}, indent=2))
    with pytest.raises(DataError, match="must be a log of a form that is known"):
        open_actions(folder / "run")
    with pytest.raises(ConfigError, match="format must be one of open-bandit"):
        open_actions(folder / "log.csv", form="excel")
    with pytest.raises(ConfigError, match="is a table: name its columns"):
        open_actions(folder / "log.csv")
    with pytest.raises(ConfigError, match="a log of form dsjson takes no options, got columns"):
        open_actions(folder / "log.json", columns=COLUMNS)
    with pytest.raises(ConfigError, match="a log of form obp takes propensities, distinct, got"):
        open_actions(folder / "log.npz", campaign="men")
