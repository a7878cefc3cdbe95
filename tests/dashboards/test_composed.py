"""docker-compose.yml: valid, closed to others, and every path and variable in it a real one."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from matinee_platform.service.secrets import FILE_VARIABLE
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.service.settings_file import PREFIX, load_service_settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
WHOLE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = WHOLE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

ONCE = {"prepare", "drive"}
REQUIRED = {"POSTGRES_PASSWORD", "GRAFANA_PASSWORD"}
STACK = "/opt/matinee/stack"
ARMS = ("mf_order", "lin_ucb")

_READ = re.compile(r"\$\{?(MATINEE_\w+)")

each_service = pytest.mark.parametrize("name", SERVICES)


def mounts(service: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """What is mounted where, and whether it is read only."""
    parts = [(*volume.split(":"), "")[:3] for volume in service.get("volumes", [])]
    return [(source, target, mode == "ro") for source, target, mode in parts]


def words(service: dict[str, Any]) -> list[str]:
    """Words of its command lines and values of its environment."""
    health = service.get("healthcheck", {}).get("test", [])
    lines = [*service.get("entrypoint", []), *service.get("command", []), *health]
    return [str(word) for word in [*lines, *service.get("environment", {}).values()]]


@each_service
def test_a_container_has_no_rights_and_a_root_that_is_read_only(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    user, group = service["user"].split(":")
    assert int(user) > 0
    assert int(group) >= 0
    assert "privileged" not in service
    assert "network_mode" not in service
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@each_service
def test_an_image_has_its_version_and_a_service_its_health(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+(\.\d+)?(-[\w.]+)?$", service["image"]), service["image"]
    assert ("healthcheck" in service) == (name not in ONCE)
    if name in ONCE:
        assert service["restart"] in ("no", "on-failure:5")
        assert service["init"] is True, "a shell passes no signal on"
    for other, how in service.get("depends_on", {}).items():
        known = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert how == {"condition": known}


@each_service
def test_what_is_mounted_is_there(name: str) -> None:
    for source, target, read_only in mounts(SERVICES[name]):
        assert target.startswith("/")
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert read_only, f"{source}: nothing of the checkout is written"
        else:
            assert source in WHOLE["volumes"], source


@each_service
def test_it_has_time_to_end_and_its_lines_a_limit(name: str) -> None:
    service = SERVICES[name]
    assert service["stop_grace_period"] == ("60s" if name == "postgres" else "30s")
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert (service.get("shm_size") == "128mb") == (name == "postgres")


def test_a_key_is_read_by_its_user_alone() -> None:
    holders = {
        key: {name for name, one in SERVICES.items() if key in {at for at, _, _ in mounts(one)}}
        for key in ("scrape", "drive", "secret")
    }
    assert holders == {
        "scrape": {"prepare", "prometheus"},
        "drive": {"prepare", "drive"},
        "secret": {"prepare", "service", "learner"},
    }
    assert SERVICES["drive"]["user"] == SERVICES["prepare"]["user"]
    assert "PASSWORD" not in str(SERVICES["drive"]["environment"])
    scraped = yaml.safe_load((ROOT / "dashboards" / "prometheus.yml").read_text())
    file = scraped["scrape_configs"][0]["authorization"]["credentials_file"]
    assert file == SERVICES["prepare"]["environment"]["MATINEE_SCRAPE_KEY"]


def prepared(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run prepare.sh where everything but the keys is there; `matinee` says its words."""
    (folder / "bin").mkdir(parents=True)
    command = folder / "bin" / "matinee"
    command.write_text('#!/bin/sh\necho "$@"\n')
    command.chmod(0o755)
    for file in ("secret", "run/results.json", *(f"bundles/{arm}/bundle.json" for arm in ARMS)):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("there")
    return subprocess.run(
        ["/bin/sh", str(ROOT / "examples" / "stack" / "prepare.sh")],
        env={
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "MATINEE_STACK": str(ROOT / "examples" / "stack"),
            "MATINEE_SERVICE_DATA_DIR": str(folder),
            "MATINEE_SECRET_FILE": str(folder / "secret"),
            "MATINEE_SCRAPE_KEY": str(folder / "scrape"),
            "MATINEE_DRIVE_KEY": str(folder / "drive"),
            "POSTGRES_PASSWORD": "plain",
            **changes,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_keys_are_made_with_their_rights(tmp_path: Path) -> None:
    done = prepared(tmp_path)
    assert done.returncode == 0, done.stderr
    made = {name: tmp_path / name for name in ("scrape", "drive")}
    assert {name: file.stat().st_mode & 0o777 for name, file in made.items()} == {
        "scrape": 0o644,
        "drive": 0o600,
    }
    assert " --scope read --data-dir" in made["scrape"].read_text()
    assert "admin" not in made["scrape"].read_text()
    assert "--scope admin" in made["drive"].read_text()


@pytest.mark.parametrize("password", ["a@b", "a/b", "a:b", "a b", "50%", "a?b", "ü", "a\nb", "#"])
def test_a_password_that_is_no_part_of_an_address_is_refused(password: str, tmp_path: Path) -> None:
    done = prepared(tmp_path / "refused", POSTGRES_PASSWORD=password)
    assert done.returncode == 1
    assert "POSTGRES_PASSWORD must be made of A-Z a-z 0-9 - . _ ~ alone" in done.stderr
    assert not (tmp_path / "refused" / "drive").exists()
    assert prepared(tmp_path / "taken", POSTGRES_PASSWORD="aZ09._~-").returncode == 0  # noqa: S106


def test_a_database_that_is_being_made_is_not_taken_for_ready() -> None:
    """The server of the image's first start listens on its socket alone, and ends again."""
    assert "--host=127.0.0.1" in SERVICES["postgres"]["healthcheck"]["test"]


def test_every_volume_is_somebodys() -> None:
    used = {source for service in SERVICES.values() for source, _, _ in mounts(service)}
    assert {one for one in used if not one.startswith("./")} == set(WHOLE["volumes"])


@each_service
def test_every_path_is_mounted_or_of_the_image(name: str) -> None:
    service = SERVICES[name]
    targets = [target for _, target, _ in mounts(service)]
    for path in re.findall(
        r"(?<![\w:/.])/(?:opt|etc|var|run|prometheus)[\w/.-]*", str(words(service))
    ):
        if path.startswith(STACK):
            assert (ROOT / "examples" / "stack" / path.removeprefix(f"{STACK}/")).exists() or (
                path == STACK
            )
            continue
        at = next((one for one in targets if path == one or path.startswith(f"{one}/")), None)
        secret_of_others = path.startswith("/run/matinee/") and service["image"].startswith(
            "matinee"
        )
        assert at is not None or secret_of_others, path
        for source, target, _ in mounts(service):
            if source.startswith("./") and path.startswith(target):
                assert (ROOT / source / path.removeprefix(target).lstrip("/")).exists(), path


def test_every_variable_of_ours_is_read_by_somebody() -> None:
    scripts = (ROOT / "examples" / "stack").glob("*.sh")
    script = "".join(file.read_text(encoding="utf-8") for file in scripts)
    provisioning = "".join(
        file.read_text(encoding="utf-8")
        for file in (ROOT / "dashboards" / "provisioning").rglob("*.yml")
    )
    read = set(_READ.findall(script + provisioning)) | {FILE_VARIABLE}
    given: set[str] = set()
    for service in SERVICES.values():
        given |= {one for one in service.get("environment", {}) if one.startswith("MATINEE_")}
    for name in given - read:
        assert name.removeprefix(PREFIX).lower() in ServiceSettings.model_fields, name
    assert set(_READ.findall(script)) - {"MATINEE_API_KEY"} <= given
    assert set(_READ.findall(provisioning)) <= given


def test_passwords_have_no_default_and_numbers_have_one() -> None:
    asked = re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", TEXT)
    assert {name for name, rest in asked if rest.startswith(":?")} == REQUIRED
    assert all(re.match(r":\?|:-[\d.]+$", rest) for _, rest in asked)
    assert "GF_AUTH_ANONYMOUS_ENABLED" in SERVICES["grafana"]["environment"]


def test_who_is_asked_for_a_password_is_told_what_it_may_be() -> None:
    asked = set(re.findall(r"\$\{POSTGRES_PASSWORD:\?([^}]*)\}", TEXT))
    assert asked == {"choose one of A-Z a-z 0-9 - . _ ~"}


def test_the_settings_of_the_service_hold_with_its_environment() -> None:
    environment = {
        name: value
        for name, value in SERVICES["service"]["environment"].items()
        if name.startswith(PREFIX)
    }
    settings = load_service_settings(
        ROOT / "examples" / "stack" / "serve.yaml", environment=environment
    )
    assert settings.database.startswith("postgresql://")
    assert settings.supervise_learner is False
    assert str(settings.data_dir) == environment[f"{PREFIX}DATA_DIR"]


def test_prometheus_scrapes_the_service_by_its_name_and_grafana_asks_prometheus() -> None:
    targets = yaml.safe_load((ROOT / "dashboards" / "targets" / "matinee.yml").read_text())
    (address,) = targets[0]["targets"]
    host, port = address.split(":")
    assert host == "service"
    assert SERVICES[host]["ports"][0].endswith(f":{port}")
    assert port in SERVICES[host]["command"]
    assert SERVICES["grafana"]["environment"]["MATINEE_PROMETHEUS_URL"] == "http://prometheus:9090"


def test_the_image_is_pinned_and_takes_what_there_is() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases[0])
    assert "--require-hashes" in DOCKERFILE
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in kept, source
    user = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    ours = {one["user"] for one in SERVICES.values() if one["image"].startswith("matinee:")}
    assert set(user) == ours
    for _, target, _ in [one for name in ("prepare", "service") for one in mounts(SERVICES[name])]:
        assert target in DOCKERFILE, f"{target} must be there for its user before it is mounted"


@pytest.mark.services
def test_docker_compose_takes_it_and_asks_for_passwords() -> None:
    def config(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker-compose", "--profile", "drive", "config", "-q"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    whole = dict.fromkeys(REQUIRED, "secret")
    done = config(**whole)
    assert done.returncode == 0, done.stderr
    for name in REQUIRED:
        done = config(**{one: value for one, value in whole.items() if one != name})
        assert done.returncode != 0
        assert "choose one" in done.stderr
