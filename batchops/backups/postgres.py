"""Backups of PostgreSQL, by pg_dump, pg_restore and psql as they are found on PATH.

The password goes by the environment of these programs, which only the same account can read, and
never by their arguments, which everybody on the machine can.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from django.db import ProgrammingError, connection, transaction
from psycopg import connect
from psycopg.conninfo import make_conninfo

from batchops.backups.content import BackupError, Content, InUse
from batchops.models import AuditHead

SUFFIX: Final = ".dump"
SECRET: Final = ("password", "sslpassword")
NOT_LIBPQ: Final = ("pool", "options", "cursor_factory", "context", "prepare_threshold")

# The kind of backend is hidden from a role that may not see another's; who it is never is.
_OTHERS: Final = (
    "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND usesysid IS NOT NULL"
)


def copy(target: Path) -> None:
    """Write the database into a file, as it is at one moment; others read and write meanwhile."""
    _run("pg_dump", "--format=custom", f"--file={target}", _connection_argument())


def content(path: Path) -> Content:
    """Read a backup to its end, and say what it holds. Raises BackupError."""
    _run("pg_restore", f"--file={os.devnull}", str(path))
    heads = list(_rows(path, AuditHead._meta.db_table, ("sequence", "hash")))
    migrations = frozenset(_rows(path, "django_migrations", ("app", "name")))
    if not migrations:
        raise BackupError(f"{path} is not a backup of batchops: no migration is recorded in it.")
    sequence, digest = heads[0] if heads else ("0", "")
    return Content(int(sequence), digest, frozenset((app, name) for app, name in migrations))


def is_empty() -> bool:
    """Whether there is nothing to lose: a database without tables."""
    return not connection.introspection.table_names()


def refuse_others() -> None:
    """Raise InUse while anybody else is connected to the database."""
    _leave()
    with connect(**_parameters()) as alone:
        row = alone.execute(f"SELECT count(*) {_OTHERS}").fetchone()
    if row is not None and row[0]:
        raise InUse(f"{row[0]} other connections to the database are open.")


def replace(path: Path) -> None:
    """Put the content of a backup in the place of all tables, in one transaction.

    Whoever else is connected is disconnected, so that nobody's lock stands in the way.
    """
    tables = connection.introspection.table_names()
    _disconnect_others()
    _leave()
    quoted = ", ".join(connection.ops.quote_name(table) for table in tables)
    beginning = f"BEGIN;\nDROP TABLE IF EXISTS {quoted} CASCADE;\n" if quoted else "BEGIN;\n"
    script = [_program("pg_restore"), "--clean", "--if-exists", "--file=-", str(path)]
    target = [_program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]
    with (
        subprocess.Popen(script, stdout=subprocess.PIPE) as reader,  # noqa: S603
        subprocess.Popen(  # noqa: S603
            [*target, "--output", os.devnull, _connection_argument()],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
        ) as writer,
    ):
        assert reader.stdout is not None and writer.stdin is not None  # noqa: S101
        failed = None
        try:
            writer.stdin.write(beginning.encode())
            shutil.copyfileobj(reader.stdout, writer.stdin)
            # Without this last word, everything is as it was.
            if reader.wait() == 0:
                writer.stdin.write(b"COMMIT;\n")
            writer.stdin.flush()
        except BrokenPipeError as error:
            failed = error
            reader.kill()
        _output, complaint = writer.communicate()
    if failed or reader.returncode or writer.returncode:
        raise BackupError(f"Nothing was changed. psql said: {_last_words(complaint)}.")


def _disconnect_others() -> None:
    """Raises BackupError where this role may not disconnect another: nothing is changed then."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")
    except ProgrammingError as error:
        raise BackupError(
            "Nothing was changed: others are connected, and this role may not disconnect them. "
            "Stop web servers and workers, or let the owner be a member of their role "
            "(GRANT batchops TO batchops_owner)."
        ) from error


def _leave() -> None:
    """Close all connections of this process, those that wait in the pool too."""
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]


def _rows(path: Path, table: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Columns of a table's rows in a backup, which pg_restore writes as COPY's text."""
    text = _run("pg_restore", "--data-only", f"--table={table}", "--file=-", str(path))
    names: list[str] | None = None
    for line in text.splitlines():
        if line.startswith("COPY ") and line.endswith(" FROM stdin;"):
            names = line[line.index("(") + 1 : line.rindex(")")].replace('"', "").split(", ")
        elif line == "\\.":
            names = None
        elif names is not None:
            row = dict(zip(names, line.split("\t"), strict=True))
            yield tuple(row[column] for column in columns)


def _run(name: str, *arguments: str) -> str:
    """What a program writes. Raises BackupError with the program's own last words."""
    done = subprocess.run(  # noqa: S603
        [_program(name), *arguments], capture_output=True, env=_environment(), check=False
    )
    if done.returncode:
        raise BackupError(f"{name} failed: {_last_words(done.stderr)}")
    return done.stdout.decode()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupError(
            f"{name} is not on PATH. Install PostgreSQL's client programs, of the server's version "
            "or newer (Debian: apt-get install postgresql-client)."
        )
    return found


def _parameters() -> dict[str, Any]:
    """libpq's parameters of the database that batchops runs on."""
    parameters = connection.get_connection_params()
    return {name: value for name, value in parameters.items() if name not in NOT_LIBPQ}


def _connection_argument() -> str:
    public = {name: value for name, value in _parameters().items() if name not in SECRET}
    return f"--dbname={make_conninfo(**public)}"


def _environment() -> dict[str, str]:
    password = _parameters().get("password")
    quiet = {"PGOPTIONS": "-c client_min_messages=warning"}
    return {**os.environ, **quiet, **({"PGPASSWORD": str(password)} if password else {})}


def _last_words(complaint: bytes) -> str:
    lines = complaint.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing"
