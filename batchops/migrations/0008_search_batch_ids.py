"""The ids of batches by their trigrams, so that a piece of one is found without reading them all.

A table of its own, to which a trigger adds each id once: in the table of batches, which changes all
the time, such an index would be written anew with every update. An id that is no longer there does
no harm, since what is found is looked up among the batches. Where the database lacks trigrams
(PostgreSQL without `pg_trgm`, SQLite without FTS5), the ids are read one after another.
"""

from __future__ import annotations

from typing import Final

from django.apps.registry import Apps
from django.db import DatabaseError, migrations, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

BATCHES: Final = "batchops_batch"
IDS: Final = "batchops_batchids"
TRIGGER: Final = "batch_ids_insert"

TABLE: Final = {
    "sqlite": (f"CREATE VIRTUAL TABLE {IDS} USING fts5(batch_id, tokenize = 'trigram')",),
    "postgresql": (
        "CREATE EXTENSION IF NOT EXISTS pg_trgm",
        f"CREATE TABLE {IDS} (batch_id varchar(255) PRIMARY KEY)",
        f"CREATE INDEX batch_ids_trigrams ON {IDS} USING gin (UPPER(batch_id::text) gin_trgm_ops)",
    ),
}
KEEP: Final = {
    "sqlite": (
        f"""CREATE TRIGGER {TRIGGER} AFTER INSERT ON {BATCHES}
            BEGIN INSERT INTO {IDS} (batch_id) VALUES (NEW.batch_id); END""",  # noqa: S608
    ),
    "postgresql": (
        f"""CREATE OR REPLACE FUNCTION batch_ids_keep() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              INSERT INTO {IDS} SELECT batch_id FROM came ON CONFLICT DO NOTHING;
              RETURN NULL;
            END $$""",  # noqa: S608
        f"""CREATE TRIGGER {TRIGGER} AFTER INSERT ON {BATCHES}
            REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION batch_ids_keep()""",
    ),
}
_FILL: Final = f"""INSERT INTO {IDS} (batch_id)
    SELECT batch_id FROM {BATCHES} EXCEPT SELECT batch_id FROM {IDS}"""  # noqa: S608


def make_table(connection: BaseDatabaseWrapper) -> None:
    """Make the table; raises DatabaseError where the database cannot have it."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for statement in TABLE[connection.vendor]:
            cursor.execute(statement)


def keep(connection: BaseDatabaseWrapper) -> None:
    """Have each new id added, and add those that are not there."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for statement in KEEP[connection.vendor]:
            cursor.execute(statement)
        cursor.execute(_FILL)


def begin(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    try:
        make_table(schema_editor.connection)
    except DatabaseError:
        return
    keep(schema_editor.connection)


def end(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    is_sqlite = schema_editor.connection.vendor == "sqlite"
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER IF EXISTS {TRIGGER}{'' if is_sqlite else f' ON {BATCHES}'}")
        cursor.execute(f"DROP TABLE IF EXISTS {IDS}")
        if not is_sqlite:
            cursor.execute("DROP FUNCTION IF EXISTS batch_ids_keep()")


class Migration(migrations.Migration):
    dependencies = [("batchops", "0007_hold_what_is_paused")]

    operations = [
        migrations.RemoveIndex(
            model_name="batch",
            name="batch_recent",
        ),
        migrations.RemoveIndex(
            model_name="batch",
            name="batch_campaign",
        ),
        migrations.RemoveIndex(
            model_name="batch",
            name="batch_status",
        ),
        migrations.RemoveIndex(
            model_name="batch",
            name="batch_paused",
        ),
        migrations.RemoveIndex(
            model_name="batch",
            name="batch_expiry",
        ),
        migrations.RemoveIndex(
            model_name="batch",
            name="batch_rate",
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                fields=["-last_updated_at", "batch_id", "deleted_at", "missing_since"],
                name="batch_recent",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                fields=["campaign", "-last_updated_at", "batch_id", "deleted_at", "missing_since"],
                name="batch_campaign",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                fields=["status", "-last_updated_at", "batch_id", "deleted_at", "missing_since"],
                name="batch_status",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                fields=["paused", "-last_updated_at", "batch_id", "deleted_at", "missing_since"],
                name="batch_paused",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                fields=["expires_on", "batch_id", "deleted_at", "missing_since"],
                name="batch_expiry",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                fields=["call_rate", "batch_id", "deleted_at", "missing_since"], name="batch_rate"
            ),
        ),
        migrations.RunPython(begin, end),
    ]
