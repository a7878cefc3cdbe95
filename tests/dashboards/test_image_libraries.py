"""The image: every library of the system that its wheels ask for is in it."""

import re
import struct
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LOCKED = (ROOT / "requirements-image.lock").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"^([\w.-]+)==", LOCKED, re.MULTILINE)))
ELSEWHERE = {"colorama"}
"""Of other systems."""

BASE = {
    *("ld-linux-x86-64.so.2", "libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0"),
    *("libgcc_s.so.1", "libresolv.so.2", "librt.so.1", "libstdc++.so.6", "libutil.so.1"),
    "libz.so.1",
}
"""What python:*-slim-bookworm has: libc6, libgcc-s1, libstdc++6 and zlib1g."""
PACKAGES = {"libgomp.so.1": "libgomp1"}
"""Package of Debian that has a library."""
OPTIONAL = ("implicit/gpu/_cuda.so", "numba/np/ufunc/omppool", "numba/np/ufunc/tbbpool")
"""Loaded only if it can be: a graphics card, other pools of threads."""

_STRING_TABLE, _NEEDED, _DYNAMIC = 5, 1, 2


def needed(path: Path) -> list[str]:
    """Names of the libraries that a shared object of a 64-bit Linux asks for (ELF, DT_NEEDED)."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        return []
    (programs,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQ", data, programs + size * i) for i in range(count)]
    found: list[tuple[int, int]] = []
    for kind, _, offset, _, _, length in segments:
        if kind == _DYNAMIC:
            found += struct.iter_unpack("<QQ", data[offset : offset + length])
    names = []
    for tag, value in found:
        if tag == _NEEDED:
            (table,) = [address for tag, address in found if tag == _STRING_TABLE]
            (start,) = [
                offset + table - address
                for kind, _, offset, address, _, length in segments
                if kind == 1 and address <= table < address + length
            ]
            names.append(data[start + value : data.index(b"\0", start + value)].decode())
    return names


def shared_objects(name: str) -> dict[str, Path]:
    files = distribution(name).files or []
    return {
        str(file): Path(str(file.locate())) for file in files if re.search(r"\.so(\.|$)", str(file))
    }


def asked_for() -> dict[str, set[str]]:
    """Libraries that no wheel brings, and who asks for them."""
    here = [name for name in NAMES if name not in ELSEWHERE]
    objects = {at: path for name in here for at, path in shared_objects(name).items()}
    brought = {path.name for path in objects.values()}
    found: dict[str, set[str]] = {}
    for at, path in objects.items():
        for library in set(needed(path)) - brought if not at.startswith(OPTIONAL) else ():
            found.setdefault(library, set()).add(at)
    return found


def test_the_image_has_every_library_that_its_wheels_ask_for() -> None:
    asked = asked_for()
    # The reader reads: every wheel of compiled code asks for the C library.
    assert len(asked["libc.so.6"]) > 100
    assert any(at.startswith("implicit/") for at in asked["libgomp.so.1"])
    (installed,) = re.findall(r"apt-get install -y --no-install-recommends ([\w .+-]+)", DOCKERFILE)
    last = DOCKERFILE.rindex("\nFROM ")
    assert DOCKERFILE.index("apt-get install") > last, "of the last stage"
    missing = {
        library: sorted(who)
        for library, who in asked.items()
        if library not in BASE and PACKAGES.get(library) not in installed.split()
    }
    assert missing == {}


@pytest.mark.parametrize("library", PACKAGES)
def test_the_dockerfile_names_what_it_installs_for(library: str) -> None:
    assert library in DOCKERFILE
    assert "rm -rf /var/lib/apt/lists" in DOCKERFILE
