"""Several workers: how they are watched over."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import uvicorn

from matinee_platform.service import process
from matinee_platform.service.settings import ServiceSettings


def test_a_worker_that_is_slow_to_start_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[uvicorn.Config] = []

    class Watched:
        def __init__(self, config: uvicorn.Config, _: Sequence[object], *, leaving: object) -> None:
            seen.append(config)

        def run(self) -> None:
            pass

    monkeypatch.setattr(process, "_Workers", Watched)
    monkeypatch.setattr(process, "prepare", lambda _: False)
    settings = ServiceSettings(
        data_dir=tmp_path,
        port=0,
        workers=2,
        database="postgresql://nobody@localhost/none",
        supervise_learner=False,
        experiments=[],
    )
    told: list[process.Listening] = []
    assert process.serve(settings, announce=told.append) == 0
    assert [one.workers for one in told] == [2]
    # A start takes some seconds alone, and several times that on a busy machine.
    assert [one.timeout_worker_healthcheck for one in seen] == [120]
