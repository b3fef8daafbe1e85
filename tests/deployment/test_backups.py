"""A backup is sound or it is not there; one that comes back is all that is there afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection

from tests import migrated
from tests.deployment.loading import BASE

# For the template alone: a database is set up only where a test says that it needs it.
pytestmark = pytest.mark.django_db

ACCOUNTS = "SELECT username FROM auth_user ORDER BY username"
LAST_ENTRY = "SELECT action FROM batchops_auditentry ORDER BY sequence DESC LIMIT 1"


@dataclass(frozen=True)
class Site:
    """A batchops with a database of its own, driven by its commands."""

    folder: Path
    url: str

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=BASE,
            env={
                "PATH": os.environ["PATH"],
                "ENV_FILE": os.devnull,
                "DATA_DIR": str(self.folder),
                "DATABASE_URL": self.url,
                **more,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def make_account(self, name: str) -> None:
        done = self.run("createsuperuser", "--no-input", f"--username={name}", "--email=a@b.cd")
        assert done.returncode == 0, done.stderr

    def ask(self, question: str) -> list[str]:
        if self.is_sqlite:
            with contextlib.closing(sqlite3.connect(self.file)) as database:
                return [row[0] for row in database.execute(question)]
        with psycopg.connect(self.url) as server:
            return [row[0] for row in server.execute(question.encode())]

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    @property
    def file(self) -> Path:
        return self.folder / "batchops.sqlite3"

    @property
    def backup(self) -> Path:
        return self.folder / "the backup"


def server_url(name: str) -> str:
    values = connection.settings_dict
    password = quote(values["PASSWORD"], safe="")
    return f"postgres://{values['USER']}:{password}@{values['HOST']}:{values['PORT']}/{name}"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Site]:
    """A migrated site with one account, ann, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("template")
    if connection.vendor == "sqlite":
        site = Site(folder, f"sqlite://{folder}/batchops.sqlite3")
    else:
        name = f"template_{uuid.uuid4().hex}"
        with psycopg.connect(server_url("postgres"), autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name}".encode())
        site = Site(folder, server_url(name))
    if site.is_sqlite:
        migrated.write_to(site.file)
    else:
        done = site.run("migrate")
        assert done.returncode == 0, done.stderr
    site.make_account("ann")
    yield site
    drop(site)


@pytest.fixture
def site(template: Site, tmp_path: Path) -> Iterator[Site]:
    """A copy of the template."""
    if template.is_sqlite:
        shutil.copy(template.file, tmp_path)
        made = Site(tmp_path, f"sqlite://{tmp_path}/batchops.sqlite3")
    else:
        name = f"site_{uuid.uuid4().hex}"
        with psycopg.connect(server_url("postgres"), autocommit=True) as server:
            model = template.url.rpartition("/")[2]
            server.execute(f"CREATE DATABASE {name} TEMPLATE {model}".encode())
        made = Site(tmp_path, server_url(name))
    yield made
    drop(made)


def drop(site: Site) -> None:
    if not site.is_sqlite:
        with psycopg.connect(server_url("postgres"), autocommit=True) as server:
            name = site.url.rpartition("/")[2]
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def backed_up(site: Site) -> Path:
    done = site.run("backup", "--to", str(site.backup))
    assert done.returncode == 0, done.stderr
    return site.backup


def test_what_was_backed_up_comes_back_and_what_was_there_is_kept(site: Site) -> None:
    done = site.run("backup", "--to", str(site.backup))
    assert done.returncode == 0, done.stderr
    head = done.stdout.partition("--anchor: ")[2].split()[0]
    assert site.backup.stat().st_mode & 0o777 == 0o600
    assert site.ask(LAST_ENTRY) == ["database.backed_up"]
    site.make_account("bob")

    done = site.run("restore", str(site.backup))
    assert done.returncode == 0, done.stderr
    assert site.ask(ACCOUNTS) == ["ann"]
    assert site.ask(LAST_ENTRY) == ["database.restored"]
    assert "entries verify" in done.stdout
    assert "it was rolled back will be reported" in done.stdout
    # No worker had seen the entries that are gone; the restore itself remembers them.
    verdict = site.run("verify_audit", "--anchor", head)
    assert verdict.returncode == 1
    assert "rolled back or replaced" in verdict.stdout + verdict.stderr

    (kept,) = (site.folder / "backups").iterdir()
    assert kept.name.startswith("before-restore-")
    assert f"kept in {kept}" in done.stdout
    assert "is only there: keep that file" in done.stdout
    assert site.run("restore", str(kept)).returncode == 0
    assert site.ask(ACCOUNTS) == ["ann", "bob"]
    assert site.run("verify_audit").returncode == 0


def test_nothing_is_replaced_while_others_are_connected_unless_forced(site: Site) -> None:
    backup = backed_up(site)
    site.make_account("bob")
    other = sqlite3.connect(site.file) if site.is_sqlite else psycopg.connect(site.url)
    other.execute("SELECT count(*) FROM auth_user").fetchone()
    other.commit()
    try:
        done = site.run("restore", str(backup))
        assert done.returncode == 1
        assert "Stop web servers and workers" in done.stderr
        assert site.ask(ACCOUNTS) == ["ann", "bob"]
        done = site.run("restore", str(backup), "--force")
        assert done.returncode == 0, done.stderr
        assert site.ask(ACCOUNTS) == ["ann"]
    finally:
        other.close()


def test_what_is_no_sound_backup_changes_nothing(site: Site) -> None:
    whole = backed_up(site).read_bytes()
    for damaged in (b"", b"not a backup", whole[: len(whole) // 2]):
        site.backup.write_bytes(damaged)
        done = site.run("restore", str(site.backup), "--force")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert site.ask(ACCOUNTS) == ["ann"]
    assert site.run("restore", str(site.folder / "absent")).returncode == 1


def test_a_file_that_is_there_is_never_overwritten(site: Site) -> None:
    site.backup.write_text("precious")
    done = site.run("backup", "--to", str(site.backup))
    assert (done.returncode, site.backup.read_text()) == (1, "precious")
    assert "already exists" in done.stderr


def test_a_backup_of_a_newer_version_is_refused(site: Site) -> None:
    newer = (
        "INSERT INTO django_migrations (app, name, applied) VALUES ('batchops', '9', '2026-1-1')"
    )
    if site.is_sqlite:
        with contextlib.closing(sqlite3.connect(site.file)) as database, database:
            database.execute(newer)
    else:
        with psycopg.connect(site.url) as server:
            server.execute(newer)
    done = site.run("restore", str(backed_up(site)))
    assert done.returncode == 1
    assert "with the migration batchops.9" in done.stderr


def test_a_machine_that_lost_everything_gets_it_back(site: Site, tmp_path: Path) -> None:
    backup = backed_up(site)
    if site.is_sqlite:
        site.file.unlink()
    else:
        with psycopg.connect(site.url) as server:
            server.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    done = site.run("restore", str(backup))
    assert done.returncode == 0, done.stderr
    assert site.ask(ACCOUNTS) == ["ann"]
    assert not (site.folder / "backups").exists()


@pytest.mark.once
class TestOnSqlite:
    @pytest.fixture(autouse=True)
    def only_there(self, site: Site) -> None:
        assert site.is_sqlite

    def test_what_a_crash_left_beside_the_file_does_not_undo_what_came_back(
        self, site: Site
    ) -> None:
        backup = backed_up(site)
        crash = (
            "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1]);"
            "d.execute('PRAGMA journal_mode=WAL'); d.execute('DELETE FROM auth_group_permissions');"
            "d.execute('UPDATE auth_user SET username = 9'); d.commit(); os._exit(0)"
        )
        subprocess.run([sys.executable, "-c", crash, str(site.file)], check=True, timeout=30)
        assert Path(f"{site.file}-wal").stat().st_size
        done = site.run("restore", str(backup))
        assert done.returncode == 0, done.stderr
        assert site.ask(ACCOUNTS) == ["ann"]

    def test_a_database_that_is_damaged_beyond_opening_is_set_aside_when_forced(
        self, site: Site
    ) -> None:
        backup = backed_up(site)
        site.file.write_bytes(b"damaged" * 1000)
        done = site.run("restore", str(backup))
        assert done.returncode == 1
        assert "cannot be kept" in done.stderr
        done = site.run("restore", str(backup), "--force")
        assert done.returncode == 0, done.stderr
        assert site.ask(ACCOUNTS) == ["ann"]
        (aside,) = site.folder.glob("batchops.sqlite3.damaged-*")
        assert aside.read_bytes().startswith(b"damaged")

    def test_a_backup_is_one_file_also_of_a_database_that_others_have_open(
        self, site: Site
    ) -> None:
        with contextlib.closing(sqlite3.connect(site.file)) as other:
            other.execute("PRAGMA journal_mode=WAL")
            other.execute("SELECT count(*) FROM auth_user").fetchone()
            backed_up(site)
        with contextlib.closing(sqlite3.connect(site.backup)) as copied:
            assert copied.execute(ACCOUNTS).fetchall() == [("ann",)]
        assert {path.name for path in site.folder.glob("the backup*")} == {"the backup"}
