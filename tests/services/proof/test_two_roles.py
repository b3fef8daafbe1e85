"""On PostgreSQL one role owns the tables; the other, which batchops runs as, cannot alter them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tools import postgres, verify_audit_export

HERE = Path(__file__).resolve().parents[3]
GRANTS = HERE / "deploy" / "postgresql" / "grants.sql"
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ROLES = """
    CREATE ROLE batchops_owner LOGIN PASSWORD 'of-the-owner';
    CREATE ROLE app LOGIN PASSWORD 'of-the-app';
    CREATE DATABASE trail OWNER batchops_owner;
"""


@pytest.fixture
def server() -> Iterator[str]:
    """A server of its own; on a machine without one, the word how to get it."""
    if postgres.folder_of_programs() is None:
        with pytest.raises(postgres.Unobtainable, match="apt-get install postgresql"):
            postgres.server().__enter__()
        yield ""
        return
    with postgres.server() as url:
        yield url


@dataclass(frozen=True)
class Site:
    """A database whose tables belong to one role, and which another uses."""

    url: str
    folder: Path

    @property
    def owner(self) -> str:
        return self._at("batchops_owner", "of-the-owner")

    @property
    def app(self) -> str:
        return self._at("app", "of-the-app")

    def _at(self, role: str, password: str) -> str:
        parts = urlsplit(self.url)
        return f"postgres://{role}:{password}@{parts.hostname}:{parts.port}/trail"

    def run(self, url: str, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "AUDIT_SIGNING_KEY": KEY,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "BATCHOPS_TEST_DATA": str(self.folder),
        }
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=HERE,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def must(self, url: str, *words: str) -> str:
        done = self.run(url, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def grant(self) -> None:
        grants = GRANTS.read_text().replace("TO batchops;", "TO app;")
        with psycopg.connect(self.owner, autocommit=True) as connection:
            connection.execute(grants.replace("FROM batchops;", "FROM app;").encode())

    def does_all_its_work(self) -> None:
        """As the role of batchops, which then cannot alter the trail."""
        scenario = f"from tests.services.proof.app_role import act; act({str(self.folder)!r})"
        self.must(self.app, "shell", "--command", scenario)
        assert json.loads((self.folder / "said.json").read_text()) == {
            "verdict": "ok",
            "faults": [],
            "without the archive": "not proven",
            "not refused": [],
            "after": "ok",
        }
        for name in ("export.jsonl", "archive.jsonl"):
            assert verify_audit_export.main([str(self.folder / name)]) == 0


@pytest.fixture
def site(server: str, tmp_path: Path) -> Site:
    made = Site(server, tmp_path)
    if server:
        with psycopg.connect(server, autocommit=True) as connection:
            for statement in ROLES.strip().split(";\n"):
                connection.execute(statement.encode())
        made.must(made.owner, "migrate", "--verbosity", "0")
        made.grant()
    return made


def test_the_role_of_batchops_does_all_its_work_and_cannot_alter_the_trail(site: Site) -> None:
    if site.url:
        site.does_all_its_work()


def test_what_the_owner_restores_is_used_by_the_role_of_batchops_as_before(site: Site) -> None:
    if not site.url:
        return
    backup = str(site.folder / "the backup")
    site.must(site.app, "createsuperuser", "--no-input", "--username=ann", "--email=a@b.cd")
    site.must(site.app, "anchor_audit")
    site.must(site.app, "backup", "--to", backup)
    with contextlib.closing(psycopg.connect(site.app)) as worker:
        worker.execute("SELECT count(*) FROM auth_user")
        for force in ((), ("--force",)):
            refused = site.run(site.owner, "restore", backup, *force)
            assert refused.returncode == 1
            assert "Stop web servers and workers" in refused.stderr
            worker.execute("SELECT count(*) FROM auth_user")
        with psycopg.connect(site.url, autocommit=True) as connection:
            connection.execute("GRANT app TO batchops_owner")
        assert "The database is back" in site.must(site.owner, "restore", backup, "--force")
        with pytest.raises(psycopg.OperationalError):
            worker.execute("SELECT 1")
    site.must(site.app, "acknowledge_audit", "--as", "ann", "--reason", "the backup came back")
    site.does_all_its_work()
