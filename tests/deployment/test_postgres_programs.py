"""How pg_dump, pg_restore and psql are called: found on PATH, and never with the password."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from pytest import MonkeyPatch

from batchops.backups import postgres
from batchops.backups.content import BackupError

PARAMETERS: dict[str, Any] = {
    "dbname": "name",
    "user": "user",
    "password": "hunter2",
    "host": "host",
    "port": "5433",
    "sslmode": "require",
    "pool": {"min_size": 1},
    "options": "-c statement_timeout=300s",
}


@pytest.fixture(autouse=True)
def a_server_with_a_password() -> Any:
    server = mock.Mock(get_connection_params=lambda: dict(PARAMETERS))
    with mock.patch.object(postgres, "connection", server):
        yield


@pytest.fixture
def called(tmp_path: Path, monkeypatch: MonkeyPatch) -> Path:
    """A folder first on PATH with a pg_dump that writes down how it was called."""
    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\nenv > {tmp_path}/env\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_the_password_is_in_the_environment_and_in_no_argument(called: Path) -> None:
    postgres.copy(called / "backup")
    words = (called / "words").read_text()
    assert "hunter2" not in words
    for told in ("host=host", "port=5433", "user=user", "dbname=name", "sslmode=require"):
        assert told in words
    assert "statement_timeout" not in words
    assert "PGPASSWORD=hunter2" in (called / "env").read_text().splitlines()


def test_a_program_that_fails_is_told_in_its_own_words(called: Path) -> None:
    (called / "pg_dump").write_text("#!/bin/sh\necho 'server is too new' >&2\nexit 1\n")
    with pytest.raises(BackupError, match="pg_dump failed: server is too new"):
        postgres.copy(called / "backup")


def test_a_program_that_is_not_there_is_named(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match=r"pg_dump is not on PATH.*postgresql-client"):
        postgres.copy(tmp_path / "backup")
