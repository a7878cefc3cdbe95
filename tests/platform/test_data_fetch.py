"""Fetching a data set from a real server on this machine: well behaved, faulty and hostile."""

import hashlib
import io
import os
import socket
import stat
import threading
import time
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from matinee_platform.data_fetch import fetch_data
from matinee_platform.download import FetchError, Patience
from matinee_platform.known_data import KnownData, data_home, known_data
from matinee_platform.testing_publisher import (
    FILES,
    Publisher,
    zipped,
)
from matinee_policies.datasets.csv_file import read_csv
from matinee_policies.datasets.locate import find_movielens
from matinee_policies.datasets.movielens import load_movielens
from matinee_policies.errors import ConfigError, DataError

TINY = KnownData(
    name="ml-tiny",
    aliases=(),
    summary="two films",
    zip_limit=1_000_000,
    unpacked_limit=1_000_000,
    sha256={
        name: hashlib.sha256(FILES[name].encode()).hexdigest()
        for name in ("ratings.csv", "movies.csv")
    },
)
QUICK = Patience(attempts=3, connect=2.0, read=0.5, pause=0.01)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    server = Publisher()
    server.files["ml-tiny.zip"] = zipped(FILES)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(publisher: Publisher, home: Path, known: KnownData = TINY) -> Path:
    return fetch_data(known, home, base_url=publisher.url, patience=QUICK)


def refusal(publisher: Publisher, home: Path, known: KnownData = TINY) -> str:
    with pytest.raises((FetchError, DataError)) as caught:
        fetch(publisher, home, known)
    assert not (home / known.name).exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def zip_requests(publisher: Publisher) -> list[str]:
    return [asked for name, asked in publisher.requests if name.endswith(".zip")]


def test_a_set_is_fetched_checked_and_loads(publisher: Publisher, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    folder = fetch_data(
        TINY,
        tmp_path / "new" / "home",
        base_url=publisher.url + "/",
        patience=QUICK,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert folder == tmp_path / "new" / "home" / "ml-tiny"
    assert {path.name: path.read_text("utf-8") for path in folder.iterdir()} == FILES
    assert len(load_movielens(folder).catalogue) == 2
    size = len(publisher.files["ml-tiny.zip"])
    assert seen[-1] == (size, size)
    assert [path.name for path in (folder.parent / ".fetching").iterdir()] == ["lock"]


def test_what_is_there_is_not_fetched_again(publisher: Publisher, tmp_path: Path) -> None:
    folder = fetch(publisher, tmp_path)
    publisher.requests.clear()
    assert fetch(publisher, tmp_path) == folder
    assert publisher.requests == []


def test_other_files_in_the_place_are_left_alone(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "ml-tiny").mkdir()
    with pytest.raises(FetchError, match="move it away"):
        fetch(publisher, tmp_path)
    assert publisher.requests == []


@pytest.mark.parametrize("fault", ["500", "503", "429", "truncate", "stall"])
def test_a_passing_fault_is_retried(publisher: Publisher, tmp_path: Path, fault: str) -> None:
    publisher.faults = [fault]
    fetch(publisher, tmp_path)
    assert len(zip_requests(publisher)) == 2


def test_a_broken_download_goes_on_where_it_ended(publisher: Publisher, tmp_path: Path) -> None:
    publisher.faults = ["truncate", "500"]
    fetch(publisher, tmp_path)
    half = len(publisher.files["ml-tiny.zip"]) // 2
    assert zip_requests(publisher) == ["", f"bytes={half}-", f"bytes={half}-"]
    assert publisher.starts == [0, half]


def test_the_next_process_goes_on_too(publisher: Publisher, tmp_path: Path) -> None:
    publisher.faults = ["truncate", "500", "500"]
    assert "the server answered 500" in refusal(publisher, tmp_path)
    fetch(publisher, tmp_path)
    assert publisher.starts == [0, len(publisher.files["ml-tiny.zip"]) // 2]


def test_a_file_that_changed_meanwhile_starts_anew(publisher: Publisher, tmp_path: Path) -> None:
    publisher.faults = ["truncate", "500", "500"]
    refusal(publisher, tmp_path)
    publisher.etag = '"two"'
    folder = fetch(publisher, tmp_path)
    assert (folder / "README.txt").read_text("utf-8") == FILES["README.txt"]
    assert publisher.starts == [0, 0]


def leave_part(home: Path, content: bytes) -> None:
    work = home / ".fetching"
    work.mkdir()
    (work / "ml-tiny.zip").write_bytes(content)
    (work / "ml-tiny.zip.etag").write_text('"one"')


def test_a_whole_download_is_not_downloaded_again(publisher: Publisher, tmp_path: Path) -> None:
    leave_part(tmp_path, publisher.files["ml-tiny.zip"])
    fetch(publisher, tmp_path)
    assert zip_requests(publisher) == [f"bytes={len(publisher.files['ml-tiny.zip'])}-"]
    assert publisher.starts == []


def test_a_part_longer_than_the_file_starts_anew(publisher: Publisher, tmp_path: Path) -> None:
    leave_part(tmp_path, publisher.files["ml-tiny.zip"] + b"more")
    fetch(publisher, tmp_path)
    assert publisher.starts == [0]


def test_what_a_killed_process_unpacked_is_deleted(publisher: Publisher, tmp_path: Path) -> None:
    stale = tmp_path / ".fetching" / "ml-tiny-abc123" / "ml-tiny"
    stale.mkdir(parents=True)
    (stale / "movies.csv").write_text("half")
    fetch(publisher, tmp_path)
    assert [path.name for path in (tmp_path / ".fetching").iterdir()] == ["lock"]


def test_what_another_process_fetched_before_the_lock_is_kept(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched_meanwhile(file: object, flags: int) -> None:
        folder = tmp_path / "ml-tiny"
        folder.mkdir()
        for name, text in FILES.items():
            (folder / name).write_text(text)

    monkeypatch.setattr("matinee_platform.data_fetch.fcntl.flock", fetched_meanwhile)
    assert fetch(publisher, tmp_path) == tmp_path / "ml-tiny"
    assert publisher.requests == []


def test_a_missing_file_fails_at_once(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files.clear()
    assert refusal(publisher, tmp_path).endswith("ml-tiny.zip: the server answered 404 Not Found")
    assert len(zip_requests(publisher)) == 1


def test_a_stalled_server_is_given_up(publisher: Publisher, tmp_path: Path) -> None:
    publisher.faults = ["stall"] * 3
    start = time.monotonic()
    assert "did not answer in time" in refusal(publisher, tmp_path)
    assert time.monotonic() - start < 5


def test_a_total_time_holds(publisher: Publisher, tmp_path: Path) -> None:
    publisher.faults = ["500"] * 50
    patience = replace(QUICK, attempts=50, total=0.3, pause=0.1)
    start = time.monotonic()
    with pytest.raises(FetchError, match="answered 500"):
        fetch_data(TINY, tmp_path, base_url=publisher.url, patience=patience)
    assert time.monotonic() - start < 2


def test_no_network_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(FetchError, match="no connection") as caught:
            fetch_data(TINY, tmp_path, base_url=url, patience=QUICK)
    assert "\n" not in str(caught.value)


def test_content_with_another_checksum_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["ml-tiny.zip"] = zipped({**FILES, "ratings.csv": FILES["ratings.csv"] + "1"})
    message = refusal(publisher, tmp_path)
    assert "ratings.csv of ml-tiny must have the SHA-256" in message
    publisher.files["ml-tiny.zip"] = zipped(FILES)
    fetch(publisher, tmp_path)


def test_the_published_md5_is_held(publisher: Publisher, tmp_path: Path) -> None:
    good = hashlib.md5(publisher.files["ml-tiny.zip"], usedforsecurity=False).hexdigest()
    publisher.files["ml-tiny.zip.md5"] = f"{'0' * 32}  ml-tiny.zip\n".encode()
    assert f"must have the published MD5 {'0' * 32}, got {good}" in refusal(publisher, tmp_path)
    publisher.files["ml-tiny.zip.md5"] = b"<html>moved</html>"
    assert "must hold an MD5 checksum, got '<html>moved" in refusal(publisher, tmp_path)
    publisher.files["ml-tiny.zip.md5"] = f"{good.upper()}  ml-tiny.zip\n".encode()
    fetch(publisher, tmp_path)


def test_a_missing_checksum_is_said(publisher: Publisher, tmp_path: Path) -> None:
    lines: list[str] = []
    unpinned = replace(TINY, sha256={})
    fetch_data(unpinned, tmp_path, base_url=publisher.url, patience=QUICK, announce=lines.append)
    assert any("md5: not published" in line for line in lines)


@pytest.mark.parametrize("fault", ["claims much", "no length"])
def test_sizes_are_limited(publisher: Publisher, tmp_path: Path, fault: str) -> None:
    publisher.faults = [fault]
    known = replace(TINY, zip_limit=1_000)
    assert "must be at most 1,000 bytes" in refusal(publisher, tmp_path, known)


def elsewhere(prefix: str) -> bytes:
    """The expected files under another folder, which has no entry of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(zipfile.ZipInfo(prefix + name), text)
    return buffer.getvalue()


def hostile(name: str, text: str = "x", *, mode: int = 0) -> bytes:
    buffer = io.BytesIO(zipped(FILES))
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr(info, text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"not a zip file", "must be an undamaged zip file"),
        (zipped(FILES)[:-30], "must be an undamaged zip file"),
        (zipped(FILES, root="other"), "must hold nothing but known files of ml-tiny/"),
        (zipped({"movies.csv": "x"}), "must hold ml-tiny/README.txt"),
        (hostile("../evil.csv"), "known files of ml-tiny/, got '../evil.csv'"),
        (elsewhere("other/"), "known files of ml-tiny/, got 'other/README.txt'"),
        (elsewhere("../ml-tiny/"), "got '../ml-tiny/README.txt'"),
        (elsewhere("/ml-tiny/"), "got '/ml-tiny/README.txt'"),
        (hostile("/etc/evil"), "got '/etc/evil'"),
        (hostile("ml-tiny/../../evil.csv"), "got 'ml-tiny/../../evil.csv'"),
        (hostile("ml-tiny\\..\\evil.csv"), "known files of ml-tiny/"),
        (hostile("ml-tiny/run.sh"), "got 'ml-tiny/run.sh'"),
        (hostile("ml-tiny/movies.csv"), "must hold a file once"),
        (hostile("ml-tiny/links.csv", "/etc/passwd", mode=stat.S_IFLNK | 0o777), "known files"),
        (zipped({**FILES, "README.txt": "x" * 1_000_000}), "must unpack to less than the limit"),
        (zipped(FILES).replace(b"Terms of", b"Terms 0f", 1), "must be an undamaged zip file"),
    ],
)
def test_a_hostile_or_damaged_zip_is_refused(
    publisher: Publisher, tmp_path: Path, content: bytes, complaint: str
) -> None:
    publisher.files["ml-tiny.zip"] = content
    home = tmp_path / "home"
    known = replace(TINY, zip_limit=10**7)
    assert complaint in refusal(publisher, home, known)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert [path.name for path in (home / ".fetching").iterdir()] == ["lock"]


def test_a_folder_that_cannot_be_written_is_one_line(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FetchError, match=r"cannot be written \(Not a directory\)"):
        fetch(publisher, tmp_path / "file")


def test_two_at_once_do_not_share_a_download(publisher: Publisher, tmp_path: Path) -> None:
    publisher.faults = ["stall"]
    first = threading.Thread(target=fetch, args=(publisher, tmp_path))
    first.start()
    while not publisher.requests:
        time.sleep(0.01)
    with pytest.raises(FetchError, match="another process is fetching"):
        fetch(publisher, tmp_path)
    first.join()
    assert (tmp_path / "ml-tiny" / "movies.csv").exists()


@pytest.mark.real_data
def test_the_real_small_set_has_the_checksums_of_its_release(
    publisher: Publisher, tmp_path: Path
) -> None:
    named = os.environ.get("MATINEE_DATA")
    if not named:
        pytest.skip("MATINEE_DATA is not set")
    source = find_movielens(Path(named))
    known = known_data("small")
    texts = {
        name: path.read_text("utf-8") if path.exists() else read_csv(
            path.with_name(f"{name}.gz")
        ).raw.decode()
        for name, path in ((name, source / name) for name in known.files)
    }  # fmt: skip
    publisher.files["ml-latest-small.zip"] = zipped(texts, root=known.name)
    folder = fetch(publisher, tmp_path, known)
    assert load_movielens(folder).interactions.matrix.nnz == 100_836


def test_names_and_places(tmp_path: Path) -> None:
    assert known_data("ML-25M").name == known_data("25m").name == "ml-25m"
    with pytest.raises(ConfigError, match="must be one of ml-latest-small, ml-25m, ml-32m"):
        known_data("imdb")
    assert data_home({"XDG_DATA_HOME": "/x"}) == Path("/x/matinee/data")
    relative = data_home({"XDG_DATA_HOME": "x"})
    assert relative == Path.home() / ".local/share/matinee/data"
