"""What a service makes is readable by its owner alone."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.learning.testing_kills import make_service
from matinee_platform.maintenance.backup import back_up
from matinee_platform.storage.event_log import make_event_log
from matinee_platform.storage.spool import Spool
from matinee_platform.storage.testing_events import asynchronous, example_decision, windows


@pytest.fixture(autouse=True)
def usual_mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@asynchronous
async def test_files_and_folders_are_private(tmp_path: Path) -> None:
    settings = make_service(tmp_path / "service")
    log = await make_event_log(settings, windows=windows)
    await log.appender.append_decision(example_decision(1))
    folder = settings.data_dir
    assert mode(folder) == 0o700
    made = [*folder.glob("*.sqlite*"), *folder.glob("*.lock"), *folder.glob("spool/*")]
    assert {path.name for path in made} >= {
        "control.sqlite",
        "events.sqlite",
        "events.sqlite-wal",
        "events.lock",
        "events-0.spool",
    }
    assert {path.name: oct(mode(path)) for path in made} == {path.name: "0o600" for path in made}
    await log.appender.close()
    back_up(folder, tmp_path / "copy", clock=FakeClock())
    assert mode(tmp_path / "copy") == 0o700
    assert mode(tmp_path / "copy" / "events.sqlite") == 0o600


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder.mkdir(mode=0o750)
    make_service(folder)
    assert mode(folder) == 0o750


def test_a_damaged_spool_is_kept_aside_privately(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append([example_decision(n) for n in range(3)])
    spool.close()
    path = tmp_path / "spool" / "events-0.spool"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    Spool(tmp_path / "spool").close()
    assert mode(path.with_name(f"{path.name}.damaged")) == 0o600
