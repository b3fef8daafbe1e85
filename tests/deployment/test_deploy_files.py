"""The files of deploy/: containers and units name settings that are there; nothing is left open."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from batchops.management.commands import worker
from tests.deployment.loading import BASE, load_gunicorn, load_settings
from tools import topology

DEPLOY: Final = BASE / "deploy"
DOCKERFILE: Final = DEPLOY / "docker" / "Dockerfile"
UNITS: Final = sorted((DEPLOY / "systemd").glob("*.service"))
ANALYZE: Final = shutil.which("systemd-analyze")
MOST_EXPOSED: Final = 15
"""Tenths of `systemd-analyze security`; what speaks to a network gets at least 13."""
FOR_THE_IMAGE: Final = {"WEB_HOST", "LOG_FORMAT", "DATA_DIR"}

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every variable that batchops reads, and the one that names its `.env`."""
    read = load_settings(tmp_path_factory.mktemp("data"))["env"].read | load_gunicorn()["env"].read
    return {*read, "ENV_FILE"}


def ours(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The services that run batchops itself."""
    found = {
        name: service
        for name, service in compose["services"].items()
        if service["image"].startswith("batchops:")
    }
    assert set(found) == {"migrate", "web-1", "web-2", "worker-1", "worker-2"}
    return found


def test_containers_are_given_settings_that_are_there_and_secrets_as_files(
    compose: dict[str, Any], known: set[str]
) -> None:
    for service in ours(compose).values():
        environment = service["environment"]
        assert set(environment) <= known
        named = {text for name, text in environment.items() if name.endswith("_FILE")}
        assert named == {f"/run/secrets/{secret}" for secret in service["secrets"]}
    for service in compose["services"].values():
        assert set(service.get("secrets", ())) <= set(compose["secrets"])


def test_containers_can_write_nowhere_and_gain_no_rights(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert re.search(r":[\w.${}:-]+$", service["image"]), name
        assert ("ports" in service) == (name == "nginx")
    assert compose["networks"]["servers"] == {"internal": True}
    for name in ("postgres", "redis"):
        assert compose["services"][name]["networks"] == ["servers"]


def test_whoever_is_believed_about_addresses_is_nginx_alone(compose: dict[str, Any]) -> None:
    address = compose["services"]["nginx"]["networks"]["site"]["ipv4_address"]
    for service in ours(compose).values():
        assert service["environment"]["TRUSTED_PROXIES"] == address


def test_what_ends_is_given_the_time_that_it_takes(compose: dict[str, Any]) -> None:
    seconds = {
        name: int(service.get("stop_grace_period", "10s").removesuffix("s"))
        for name, service in ours(compose).items()
    }
    longest = 30 + worker.WRITING_SECONDS + worker.GRACE_SECONDS
    assert min(seconds["worker-1"], seconds["worker-2"]) > longest
    assert min(seconds["web-1"], seconds["web-2"]) > load_gunicorn()["graceful_timeout"]
    for path in UNITS:
        (given,) = lines(path, "TimeoutStopSec")
        assert int(given) == seconds["web-1" if "web" in path.name else "worker-1"]


def test_the_secrets_that_are_made_are_those_that_are_used(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"
    for typed in ("the key\n", "another key\n"):
        subprocess.run([DEPLOY / "make-secrets", folder], input=typed.encode(), check=True)
    assert folder.stat().st_mode & 0o777 == 0o700
    for secret in compose["secrets"].values():
        assert (folder / Path(secret["file"]).name).is_file()
    environment = ours(compose)["web-1"]["environment"]
    files = {
        name: text.replace("/run/secrets", str(folder))
        for name, text in environment.items()
        if name.endswith("_FILE")
    }
    settings = load_settings(tmp_path, **files)
    assert settings["SYLLABLE_API_KEY"] == "the key"
    database, queue = settings["DATABASES"]["default"], settings["HUEY"].storage.pool
    made_by = compose["services"]["postgres"]["environment"]
    assert (database["HOST"], database["NAME"]) == ("postgres", made_by["POSTGRES_DB"])
    assert database["USER"] == made_by["POSTGRES_USER"]
    assert database["PASSWORD"] == (folder / "postgres_password").read_text()
    assert queue.connection_kwargs["host"] == "redis"
    password = queue.connection_kwargs["password"]
    assert f"user batchops on >{password} " in (folder / "redis_users").read_text()


def test_without_a_key_no_secrets_are_made(tmp_path: Path) -> None:
    done = subprocess.run(
        [DEPLOY / "make-secrets", tmp_path], input=b"\n", capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"Without the vendor's key" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_image_holds_all_that_it_takes_to_start(tmp_path: Path) -> None:
    release = topology.install(tmp_path, static_files=False)
    for command in ("check", "collectstatic --no-input --dry-run --verbosity=0"):
        subprocess.run(
            [sys.executable, "manage.py", *command.split()],
            cwd=release,
            env={"PATH": os.defpath, "DATA_DIR": str(tmp_path / "data")},
            check=True,
            timeout=60,
        )


def test_the_image_runs_as_nobody_in_particular_from_locked_requirements() -> None:
    text = DOCKERFILE.read_text()
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]
    assert "--require-hashes --no-deps" in text
    kept = {
        line[1:]
        for line in (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert kept == {"requirements.txt", *(source for source, _ in topology.image_files())}


def test_the_image_takes_settings_that_are_there(known: set[str]) -> None:
    given = set(re.findall(r"\b([A-Z][A-Z_]+)=", DOCKERFILE.read_text().split("FROM ")[2]))
    assert given & known == FOR_THE_IMAGE


def test_the_health_check_of_the_image_asks_the_web_server(tmp_path: Path) -> None:
    (found,) = re.findall(
        r"HEALTHCHECK .*\\\n +CMD (\[.+\])$", DOCKERFILE.read_text(), re.MULTILINE
    )
    command = [sys.executable, *json.loads(found)[1:]]

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {"WEB_PORT": str(server.server_address[1])}
        assert subprocess.run(command, env=environment, check=False, timeout=30).returncode == 0
        server.shutdown()
    ended = subprocess.run(command, env=environment, check=False, timeout=30, capture_output=True)
    assert ended.returncode == 1


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_are_given_settings_that_are_there_and_secrets_as_credentials(
    path: Path, known: set[str], compose: dict[str, Any]
) -> None:
    given = dict(line.split("=", 1) for line in lines(path, "Environment"))
    assert set(given) <= known
    credentials = dict(line.split(":", 1) for line in lines(path, "LoadCredential"))
    named = {text for name, text in given.items() if text.startswith("%d/")}
    assert named == {f"%d/{name}" for name in credentials}
    assert all(file == f"/etc/batchops/secrets/{name}" for name, file in credentials.items())
    assert set(credentials) == set(ours(compose)["web-1"]["secrets"])


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed (apt-get install systemd)")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_units_and_finds_them_closed(path: Path, tmp_path: Path) -> None:
    unit = tmp_path / path.name
    unit.write_text(
        path.read_text().replace("/opt/batchops/.venv/bin", str(Path(sys.executable).parent))
    )
    instance = tmp_path / path.name.replace("@", "@8000")
    done = analyzed("verify", "--recursive-errors=no", "--man=no", str(instance))
    assert (done.returncode, done.stderr) == (0, "")
    done = analyzed("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit))
    assert done.returncode == 0, done.stdout


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "SYSTEMD_LOG_LEVEL": "warning"}
    return subprocess.run(
        [str(ANALYZE), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )


def lines(unit: Path, name: str) -> list[str]:
    """The values of a name of a unit, which may come several times."""
    return re.findall(rf"^{name}=(.+)$", unit.read_text(), re.MULTILINE)
