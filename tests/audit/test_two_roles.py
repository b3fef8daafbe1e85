"""On PostgreSQL one role owns the tables; the other, which batchops runs as, cannot alter them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tools import postgres, verify_audit_export

HERE = Path(__file__).resolve().parent.parent.parent
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


def at(url: str, role: str, password: str) -> str:
    parts = urlsplit(url)
    return f"postgres://{role}:{password}@{parts.hostname}:{parts.port}/trail"


def run(url: str, *arguments: str) -> str:
    environment = {**os.environ, "DATABASE_URL": url, "AUDIT_SIGNING_KEY": KEY}
    environment["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    done = subprocess.run(
        [sys.executable, *arguments], cwd=HERE, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_role_of_batchops_does_all_its_work_and_cannot_alter_the_trail(
    server: str, tmp_path: Path
) -> None:
    if not server:
        return
    with psycopg.connect(server, autocommit=True) as connection:
        for statement in ROLES.strip().split(";\n"):
            connection.execute(statement)
    owner = at(server, "batchops_owner", "of-the-owner")
    run(owner, "manage.py", "migrate", "--verbosity", "0")
    with psycopg.connect(owner, autocommit=True) as connection:
        grants = GRANTS.read_text().replace("TO batchops;", "TO app;")
        connection.execute(grants.replace("FROM batchops;", "FROM app;"))
    app = at(server, "app", "of-the-app")
    scenario = f"from tests.audit.app_role import act; act({str(tmp_path)!r})"
    run(app, "manage.py", "shell", "--command", scenario)
    said = json.loads((tmp_path / "said.json").read_text())
    assert said == {
        "verdict": "ok",
        "faults": [],
        "without the archive": "not proven",
        "not refused": [],
        "after": "ok",
    }
    for name in ("export.jsonl", "archive.jsonl"):
        assert verify_audit_export.main([str(tmp_path / name)]) == 0
