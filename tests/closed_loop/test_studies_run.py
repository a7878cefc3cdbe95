"""Studies run and say what they found; their figures are in the documents."""

from pathlib import Path

import pytest

from matinee_platform.studies import forgetting, warm_start


def test_studies_run(small_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATINEE_DATA", str(small_data))
    savings = warm_start.run(
        scenarios=["movielens"],
        policies={"common": warm_start.POLICIES["common coefficients"]},
        seeds=[1],
        users=60,
        donor_days=8,
    )
    assert [saving.start for saving in savings] == [
        "snapshot",
        "tenth of snapshot",
        "score prior",
    ]
    for saving in savings:
        assert -1.0 < saving.saved < 1.0
        assert saving.regret.first > 0.0
        assert len(saving.warm_by_day) == 7
        assert "saves" in saving.text()
    (found,) = forgetting.run(
        worlds={"calm": {"arrival_days": 2}}, seeds=[1], users=40, days=4, arms=forgetting.ARMS
    )
    assert len(found.clicks) == len(found.regret) == 2
    assert found.clicks[0].first > 0.0
