"""What batchops writes can be read by its owner alone, whatever the umask."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

from batchops import files
from config.servers.sqlite import PrivateConnection
from tests.deployment.loading import BASE, load_gunicorn, load_settings

WRITES_EVERYTHING = """
import os, django
os.umask(0)
django.setup()
from django.conf import settings
from django.core.management import call_command
from batchops.sandbox.storage import StateFile
from batchops.services import demo
from batchops.services.anchors import outlets
from batchops.services.proof import last_seen

call_command("migrate", verbosity=0)
demo.make_people(settings.DATA_DIR)
outlets.append(settings.DATA_DIR / "anchors.jsonl", ["{}"])
last_seen.remember()
state = StateFile(settings.DATA_DIR / "sandbox.sqlite3")
settings.HUEY.storage.enqueue(b"task")
call_command("backup", "--to", str(settings.DATA_DIR / "copy"), verbosity=0)
call_command("backup", verbosity=0)
for path in sorted(settings.DATA_DIR.rglob("*")):
    print(oct(path.stat().st_mode & 0o777), "folder" if path.is_dir() else path.name)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_databases_secrets_passwords_anchors_and_backups_are_closed_to_others(
    tmp_path: Path,
) -> None:
    data = tmp_path / "deep" / "data"
    done = subprocess.run(
        [sys.executable, "-c", WRITES_EVERYTHING],
        cwd=BASE,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "ENV_FILE": os.devnull,
            "DATA_DIR": str(data),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        umask=0,
    )
    assert done.returncode == 0, done.stderr
    modes = {name: mode for mode, name in re.findall(r"^(0o\d+) (.*)$", done.stdout, re.MULTILINE)}
    assert {
        *("batchops.sqlite3", "batchops.sqlite3-wal", "batchops.sqlite3-shm"),
        *("queue.sqlite3", "queue.sqlite3-wal", "sandbox.sqlite3", "secret_key"),
        *("demo-passwords.txt", "anchors.jsonl", "audit-last-seen.json", "copy"),
    } <= modes.keys()
    assert modes.pop("folder") == "0o700"
    assert set(modes.values()) == {"0o600"}
    assert (mode(data), mode(data.parent)) == (0o700, 0o700)


def test_a_database_that_is_open_to_others_is_closed(tmp_path: Path) -> None:
    for name in ("batchops.sqlite3", "queue.sqlite3"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    name = load_settings(tmp_path)["DATABASES"]["default"]["NAME"]
    sqlite3.connect(name, factory=PrivateConnection).close()
    assert mode(tmp_path / "batchops.sqlite3") == mode(tmp_path / "queue.sqlite3") == 0o600


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    files.make_folder(tmp_path / "new" / "newer")
    assert [mode(path) for path in (tmp_path, tmp_path / "new", tmp_path / "new" / "newer")] == [
        *(0o750, 0o700, 0o700)
    ]


def test_what_web_processes_write_is_closed_too() -> None:
    assert load_gunicorn()["umask"] == 0o077


def test_static_files_are_for_all_to_read_and_for_nobody_else_to_write(tmp_path: Path) -> None:
    """Whoever could write them would run scripts in the pages of everybody."""
    static = tmp_path / "static"
    done = subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity=0"],
        cwd=BASE,
        env={
            "PATH": os.environ["PATH"],
            "ENV_FILE": os.devnull,
            "DATA_DIR": str(tmp_path / "data"),
            "STATIC_ROOT": str(static),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        umask=0,
    )
    assert done.returncode == 0, done.stderr
    written = [static, *static.rglob("*")]
    assert len(written) > 10
    assert [str(path) for path in written if mode(path) & 0o022] == []


TRIES_TO_WRITE = """
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], timeout=0).execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    print(error)
"""


def test_a_new_connection_takes_no_locks_away_from_those_that_are_open(tmp_path: Path) -> None:
    path = tmp_path / "locked.sqlite3"
    first = sqlite3.connect(path, factory=PrivateConnection)
    first.execute("BEGIN EXCLUSIVE")
    sqlite3.connect(path, factory=PrivateConnection).close()
    done = subprocess.run(
        [sys.executable, "-c", TRIES_TO_WRITE, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "locked" in done.stdout
    first.close()
