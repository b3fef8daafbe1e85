"""Makes backups that are known to be sound, and brings one back without losing what is there."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from batchops import audit, files
from batchops.backups import postgres, sqlite
from batchops.backups.content import BackupError, Content
from batchops.models import Action
from batchops.services.proof import last_seen, verification
from batchops.services.proof.verification import Verdict


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back, what it replaced, and what is left to do."""

    content: Content
    kept: Path | None
    """A backup of what was there before; None where there was nothing."""
    replaced_through: int
    """The last entry of the trail that was there before."""
    verdict: Verdict


def default_path(purpose: str) -> Path:
    """Where a backup lies when nobody says so: in the data folder, with the time (UTC)."""
    stamp = f"{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}"
    return settings.DATA_DIR / "backups" / f"{purpose}-{stamp}{_database().SUFFIX}"


def back_up(path: Path) -> Content:
    """Write the whole database into a new file, read it again, and record that in the trail.

    Raises BackupError when the file is there already, or is not sound afterwards; it is gone then.
    """
    content = _written(path)
    audit.record_now(
        audit.Fact(
            Action.DATABASE_BACKED_UP,
            audit.SYSTEM,
            outcome="ok",
            detail={"file": path.name, "sequence": content.sequence, "hash": content.hash},
        )
    )
    return content


def restore(path: Path, *, force: bool = False) -> Restored:
    """Replace the database by a backup, keep what was there, and record that in the trail.

    Raises InUse while workers or web servers are connected, and BackupError for a backup that is
    not sound or of a newer version, or when what is there cannot be kept. `force` goes on where
    others are connected, and where what is there is too damaged to be kept.
    """
    database = _database()
    content = database.content(path)
    _refuse_newer(content, path)
    if not force:
        database.refuse_others()
    kept = _kept(force)
    database.replace(path)
    # Before anything else, since this version may know more columns than the backup has.
    call_command("migrate", interactive=False, verbosity=0)
    audit.record_now(
        audit.Fact(
            Action.DATABASE_RESTORED,
            audit.SYSTEM,
            outcome="ok",
            detail={
                "file": path.name,
                "sequence": content.sequence,
                "hash": content.hash,
                "replaced": kept[1].head if kept else "",
            },
        )
    )
    return Restored(
        content=content,
        kept=kept[0] if kept else None,
        replaced_through=kept[1].sequence if kept else 0,
        verdict=verification.verify(),
    )


def _database() -> ModuleType:
    return sqlite if connection.vendor == "sqlite" else postgres


def _written(path: Path) -> Content:
    """A new file with a backup in it that was read again to its end."""
    database = _database()
    part = path.with_name(f"{path.name}.part")
    try:
        files.make_folder(path.parent)
        # Taken at once, so that two at a time do not write into one file.
        with open(path, "x", opener=files.for_owner_alone):
            pass
    except FileExistsError:
        raise BackupError(f"{path} already exists; choose another name.") from None
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        files.keep_private(part)
        database.copy(part)
        content: Content = database.content(part)
        files.flush(part)
        part.replace(path)
        files.flush(path.parent)
    except BaseException:
        for rest in (part, path):
            with contextlib.suppress(OSError):
                rest.unlink(missing_ok=True)
        raise
    return content


def _kept(force: bool) -> tuple[Path, Content] | None:
    """A backup of what is there, with what it holds."""
    path = default_path("before-restore")
    try:
        if _database().is_empty():
            return None
        kept = path, _written(path)
        # Remembered on this host, so that what goes with it is missed by whoever looks.
        last_seen.check()
        return kept
    # Whatever SQLite or libpq finds wrong with a damaged database.
    except Exception as error:
        if force:
            return None
        raise BackupError(
            f"What is there cannot be kept in {path}: {error} Copy its files away by hand if they "
            "matter, then use --force."
        ) from error


def _refuse_newer(content: Content, path: Path) -> None:
    unknown = content.migrations - set(MigrationLoader(None).disk_migrations)
    if unknown:
        app, name = max(unknown)
        raise BackupError(
            f"{path} was made by another version of batchops, with the migration {app}.{name}. "
            "Install that version, or a newer one, and restore with it."
        )
