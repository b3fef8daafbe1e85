"""How many batches there are of each kind, kept by triggers; and an index for each order of the list.

`services.stats.kept_counts` installs the triggers anew where they are missing: on SQLite, a migration that
makes the table of batches anew takes them with it.
"""

from __future__ import annotations

from typing import Final

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

BATCHES: Final = "batchops_batch"
COUNTS: Final = "batchops_batchcount"
KINDS: Final = {
    "campaign_id": "{row}.campaign_id",
    "status": "{row}.status",
    "paused": "{row}.paused",
    "is_deleted": "{row}.deleted_at IS NOT NULL",
    "is_missing": "{row}.missing_since IS NOT NULL",
    "is_changed_externally": "{row}.changed_externally_at IS NOT NULL",
    "shares_its_id": "{row}.id_shared_since IS NOT NULL",
}
"""What batches are told apart by, and how it is read from a row."""
_COLUMNS: Final = ", ".join(KINDS)
_READ_FROM: Final = (
    "campaign_id",
    "status",
    "paused",
    "deleted_at",
    "missing_since",
    "changed_externally_at",
    "id_shared_since",
)


def _of(row: str) -> str:
    return ", ".join(value.format(row=row) for value in KINDS.values())


def _alike(row: str) -> str:
    same = (f"{name} IS ({value.format(row=row)})" for name, value in KINDS.items())
    return f"campaign_id = {row}.campaign_id AND status = {row}.status AND " + " AND ".join(same)


_MOVED: Final = " OR ".join(
    f"({value.format(row='OLD')}) IS NOT ({value.format(row='NEW')})" for value in KINDS.values()
)
_ONE_MORE: Final = f"""
  INSERT INTO {COUNTS} ({_COLUMNS}, number) SELECT {_of("NEW")}, 0
    WHERE NOT EXISTS (SELECT 1 FROM {COUNTS} WHERE {_alike("NEW")});
  UPDATE {COUNTS} SET number = number + 1 WHERE {_alike("NEW")};"""  # noqa: S608
_ONE_LESS: Final = f"""
  UPDATE {COUNTS} SET number = number - 1 WHERE {_alike("OLD")};
  DELETE FROM {COUNTS} WHERE number = 0 AND {_alike("OLD")};"""  # noqa: S608
_RECOUNT: Final = f"""INSERT INTO {COUNTS} ({_COLUMNS}, number)
    SELECT {_of("b")}, COUNT(*) FROM {BATCHES} b GROUP BY {_of("b")}"""  # noqa: S608
_POSTGRESQL: Final = "EXECUTE FUNCTION batch_counts_keep()"

TRIGGERS: Final = {
    "sqlite": {
        "batch_counts_insert": f"AFTER INSERT ON {BATCHES} BEGIN {_ONE_MORE} END",
        "batch_counts_delete": f"AFTER DELETE ON {BATCHES} BEGIN {_ONE_LESS} END",
        "batch_counts_update": f"""AFTER UPDATE OF {", ".join(_READ_FROM)} ON {BATCHES}
            WHEN {_MOVED} BEGIN {_ONE_LESS} {_ONE_MORE} END""",
    },
    "postgresql": {
        "batch_counts_insert": f"""AFTER INSERT ON {BATCHES}
            REFERENCING NEW TABLE AS came FOR EACH STATEMENT {_POSTGRESQL}""",
        "batch_counts_delete": f"""AFTER DELETE ON {BATCHES}
            REFERENCING OLD TABLE AS went FOR EACH STATEMENT {_POSTGRESQL}""",
        "batch_counts_update": f"""AFTER UPDATE ON {BATCHES}
            REFERENCING OLD TABLE AS went NEW TABLE AS came FOR EACH STATEMENT {_POSTGRESQL}""",
        "batch_counts_truncate": f"""AFTER TRUNCATE ON {BATCHES}
            FOR EACH STATEMENT {_POSTGRESQL}""",
    },
}
_FUNCTION: Final = f"""
CREATE OR REPLACE FUNCTION batch_counts_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM {COUNTS};
  ELSIF TG_OP = 'INSERT' THEN
    INSERT INTO {COUNTS} ({_COLUMNS}, number)
      SELECT {_of("b")}, COUNT(*) FROM came b GROUP BY {_of("b")};
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO {COUNTS} ({_COLUMNS}, number)
      SELECT {_of("b")}, -COUNT(*) FROM went b GROUP BY {_of("b")};
  ELSE
    INSERT INTO {COUNTS} ({_COLUMNS}, number)
      SELECT {_COLUMNS}, SUM(n) FROM (
        SELECT {", ".join(f"{v.format(row='b')} AS {k}" for k, v in KINDS.items())}, 1 AS n FROM came b
        UNION ALL SELECT {_of("b")}, -1 FROM went b
      ) moved GROUP BY {_COLUMNS} HAVING SUM(n) <> 0;
  END IF;
  RETURN NULL;
END $$"""  # noqa: S608


def install(connection: BaseDatabaseWrapper) -> None:
    """Make the triggers, and count what is there; within a transaction of the caller."""
    remove(connection)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"LOCK TABLE {BATCHES} IN SHARE ROW EXCLUSIVE MODE")
            cursor.execute(_FUNCTION)
        for name, trigger in TRIGGERS[connection.vendor].items():
            cursor.execute(f"CREATE TRIGGER {name} {trigger}")
        cursor.execute(f"DELETE FROM {COUNTS}")  # noqa: S608
        cursor.execute(_RECOUNT)


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers; the numbers stay as they are."""
    is_sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        for name in TRIGGERS[connection.vendor]:
            table = "" if is_sqlite else f" ON {BATCHES}"
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{table}")
        if not is_sqlite:
            cursor.execute("DROP FUNCTION IF EXISTS batch_counts_keep()")


def begin_to_count(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    install(schema_editor.connection)


def end_counting(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [
        ("batchops", "0003_learn_the_vendors_rate"),
    ]

    operations = [
        migrations.CreateModel(
            name="BatchCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("status", models.CharField(blank=True, max_length=64)),
                ("paused", models.BooleanField(null=True)),
                ("is_deleted", models.BooleanField()),
                ("is_missing", models.BooleanField()),
                ("is_changed_externally", models.BooleanField()),
                ("shares_its_id", models.BooleanField()),
                ("number", models.IntegerField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.RemoveIndex(
            model_name="batch",
            name="batch_campaign_status",
        ),
        migrations.AlterField(
            model_name="batch",
            name="campaign",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="batches",
                to="batchops.campaign",
            ),
        ),
        migrations.AlterField(
            model_name="batch",
            name="expires_on",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="batch",
            name="last_updated_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="batch",
            name="status",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                fields=["campaign", "-last_updated_at", "batch_id"], name="batch_campaign"
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                fields=["status", "-last_updated_at", "batch_id"], name="batch_status"
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                fields=["paused", "-last_updated_at", "batch_id"], name="batch_paused"
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["expires_on", "batch_id"], name="batch_expiry"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["call_rate", "batch_id"], name="batch_rate"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(
                    ("deleted_at", None),
                    ("missing_since", None),
                    models.Q(("status__in", ("FAILED", "CANCELED", "EXPIRED")), _negated=True),
                ),
                fields=["expires_on", "batch_id"],
                name="batch_live",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(("missing_since__isnull", False)),
                fields=["missing_since"],
                name="batch_missing",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(("changed_externally_at__isnull", False)),
                fields=["changed_externally_at"],
                name="batch_changed_outside",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(("id_shared_since__isnull", False)),
                fields=["id_shared_since"],
                name="batch_shared_id",
            ),
        ),
        migrations.AddField(
            model_name="batchcount",
            name="campaign",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="counts",
                to="batchops.campaign",
            ),
        ),
        migrations.RunPython(begin_to_count, end_counting),
    ]
