"""The database itself refuses to alter the trail, also for raw SQL, and migrations can go back."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from batchops import audit
from batchops.models import AuditEntry, AuditHead
from tests.audit import trail

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

HEAD = AuditHead._meta.db_table
ALTERING = {
    "an update": f"UPDATE {trail.TABLE} SET reason = 'another' WHERE sequence = 2",
    "an update of all": f"UPDATE {trail.TABLE} SET actor_name = 'mallory'",
    "a deletion": f"DELETE FROM {trail.TABLE} WHERE sequence = 3",
    "a deletion of all": f"DELETE FROM {trail.TABLE}",
    "opening it for deletion": f"UPDATE {HEAD} SET removable_through = 3",
    "putting the head back": f"UPDATE {HEAD} SET sequence = 1",
    "a deletion of the head": f"DELETE FROM {HEAD}",
}
ALTERING_ON = {
    "sqlite": {
        "a replacement": f"REPLACE INTO {trail.TABLE} SELECT * FROM {trail.TABLE} LIMIT 1",
        "an insert or replace": (
            f"INSERT OR REPLACE INTO {trail.TABLE} SELECT * FROM {trail.TABLE} LIMIT 1"
        ),
    },
    "postgresql": {
        "a truncation": f"TRUNCATE {trail.TABLE}",
        "a truncation of the head": f"TRUNCATE {HEAD}",
        "an insert that updates": (
            f"INSERT INTO {trail.TABLE} SELECT * FROM {trail.TABLE} LIMIT 1 "
            "ON CONFLICT (sequence) DO UPDATE SET reason = 'another'"
        ),
    },
}


@pytest.mark.parametrize("name", sorted(ALTERING))
def test_raw_sql_cannot_alter_the_trail(name: str) -> None:
    trail.fill(4)
    assert_refused(ALTERING[name])


def test_raw_sql_of_one_database_alone_cannot_alter_the_trail_either() -> None:
    trail.fill(4)
    for statement in ALTERING_ON[connection.vendor].values():
        assert_refused(statement)


def test_the_object_relational_mapper_cannot_alter_the_trail() -> None:
    trail.fill(4)
    entry = AuditEntry.objects.get(pk=2)
    entry.reason = "another"
    for altering in (
        entry.save,
        entry.delete,
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.update(reason="another"),
    ):
        with pytest.raises(DatabaseError, match="cannot be altered"), transaction.atomic():
            altering()
    assert list(AuditEntry.objects.values_list("reason", flat=True)) == ["wrong list"] * 4


def test_facts_are_recorded_in_a_transaction_alone(transactional_db: None) -> None:
    with pytest.raises(transaction.TransactionManagementError):
        audit.record(trail.fact(1))


def test_what_is_rolled_back_leaves_neither_entry_nor_gap() -> None:
    trail.fill(2)
    with transaction.atomic():
        trail.fill(3)
        transaction.set_rollback(True)
    trail.fill(1)
    assert sorted(AuditEntry.objects.values_list("sequence", flat=True)) == [1, 2, 3]


@pytest.mark.django_db(transaction=True)
def test_the_triggers_go_and_come_with_their_migrations() -> None:
    names = guarding_triggers()
    assert names
    call_command("migrate", "batchops", "0001", verbosity=0, interactive=False)
    try:
        assert guarding_triggers() == set()
    finally:
        # All of it: what builds on this app went, too.
        call_command("migrate", verbosity=0, interactive=False)
    assert guarding_triggers() == names


def guarding_triggers() -> set[str]:
    statement = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if connection.vendor == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return {str(row[0]) for row in cursor.fetchall() if str(row[0]).startswith("audit_")}


def assert_refused(statement: str) -> None:
    before = list(AuditEntry.objects.order_by("sequence").values())
    with (
        pytest.raises(DatabaseError, match="cannot be altered"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert list(AuditEntry.objects.order_by("sequence").values()) == before
