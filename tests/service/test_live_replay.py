"""Decisions taken again by the running service: what is gone is told, what is slow is bounded."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from matinee_platform.service import live_replay
from matinee_platform.service.errors import NotFoundError, OverloadedError
from matinee_platform.service.live_replay import REBUILD_AGAIN_SECONDS, DecisionsAgain
from matinee_platform.service.secrets import Secrets
from matinee_platform.service.testing_parts import Bench
from matinee_platform.serving.caller_items import CallerItems
from matinee_platform.serving.errors import BundleError, GoneError
from matinee_platform.serving.testing_log import TestingLog
from matinee_platform.serving.thread_readers import ThreadReaders
from matinee_platform.storage.memory_log import MemoryLog, MemoryReader
from matinee_policies.errors import (
    ConfigError,
    ContextError,
    DataError,
    MatineeError,
    SnapshotError,
)

GONE = (BundleError, ConfigError, ContextError, SnapshotError)


class Kept:
    """Snapshots of which version 7 is kept."""

    def versions(self, experiment: str, arm: str) -> list[int]:
        return [7]

    def load(self, experiment: str, arm: str, version: int) -> str:
        return f"kept {version}"


class Arm:
    experiment, name = "home", "new"


def decisions_again() -> DecisionsAgain:
    nothing: Any = None
    return DecisionsAgain(
        nothing,
        bundles=nothing,
        barriers=nothing,
        snapshots=cast("Any", Kept()),
        reader=lambda: MemoryReader(MemoryLog()),
        secrets=Secrets(bytes(32)),
    )


def test_one_state_is_learned_again_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    again, arm = decisions_again(), cast("Any", Arm())
    began, go_on = threading.Event(), threading.Event()
    found: list[Any] = []

    def slow(arm: Any, version: int, **_: Any) -> str:
        began.set()
        go_on.wait(60)
        return f"learned {version}"

    monkeypatch.setattr(live_replay, "state_of", slow)
    first = threading.Thread(target=lambda: found.append(again._state(arm, 3)))
    first.start()
    assert began.wait(60)
    with pytest.raises(OverloadedError, match="one is at a time") as busy:
        again._state(arm, 4)
    assert busy.value.retry_after == REBUILD_AGAIN_SECONDS
    # Who needs a state that is kept does not wait.
    assert cast("Any", again._state(arm, 7)) == "kept 7"
    go_on.set()
    first.join()
    assert found == ["learned 3"]
    assert cast("Any", again._state(arm, 4)) == "learned 4"


@pytest.mark.parametrize("kind", [*GONE, NotFoundError])
def test_what_is_gone_is_told(
    kind: type[MatineeError], bench: Bench, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = decisions_again()

    def fail(_: Any) -> Any:
        raise kind("snapshot 5 was thinned out")

    monkeypatch.setattr(again, "_restored", fail)
    client = serve(bench, replay=again.replay, explain=again.explain)
    body = {"experiment": "home", "unit": "ada", "decision_id": "d"}
    assert client.post("/v1/decisions", json=body).status_code == 200
    for way in ("replay", "explain"):
        answer = client.get(f"/v1/decisions/d/{way}")
        expected = (410, "gone") if kind in GONE else (404, "not_found")
        assert (answer.status_code, answer.json()["code"]) == expected
        assert "snapshot 5 was thinned out" in answer.json()["detail"]


def test_errors_of_data_are_gone_too() -> None:
    with pytest.raises(GoneError), live_replay._told_what_is_gone():
        raise DataError("decisions", rule="must be whole")


def test_names_of_items_are_read_in_a_thread() -> None:
    class Watched(TestingLog):
        def items(self, rows: Sequence[int]) -> list[str]:
            threads.append(threading.current_thread())
            return super().items(rows)

    threads: list[threading.Thread] = []
    log = Watched()

    async def scene() -> None:
        assert await log.intern_items(["a", "b"]) == [0, 1]
        items = CallerItems(log, ThreadReaders(log))
        for _ in range(2):
            assert await items.names_of([1, -1, 0]) == ["b", "", "a"]
        with pytest.raises(GoneError, match="no names"):
            await items.names_of([5])

    asyncio.run(scene())
    assert len(threads) == 2, "what is known is not read again"
    assert threading.main_thread() not in threads


def test_names_of_items_are_few_in_memory() -> None:
    names = [f"item {number}" for number in range(50)]
    log = TestingLog()

    async def scene() -> None:
        await log.intern_items(names)
        items = CallerItems(log, ThreadReaders(log), remembered=10)
        for first in range(0, 50, 5):
            rows = [*range(first, first + 5), -1]
            assert await items.names_of(rows) == [*names[first : first + 5], ""]
            assert len(items._item) <= 10
        assert await items.names_of(list(range(50))) == names

    asyncio.run(scene())
