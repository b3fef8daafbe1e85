"""A test that commits leaves nothing behind, though the audit trail lets nothing be removed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import DatabaseError, connection
from django.test import TransactionTestCase

from batchops import audit
from batchops.models import AuditEntry, AuditHead
from tests.audit import trail


class Committing(TransactionTestCase):
    """As pytest-django runs a test that is marked with `transaction=True`."""

    __test__ = False

    def test_that_writes(self) -> None:
        trail.fill(3)
        Group.objects.all().delete()
        Group.objects.create(name="left behind")


@pytest.mark.django_db(transaction=True)
def test_the_database_is_again_as_the_migrations_left_it() -> None:
    def rows() -> list[list[object]]:
        models = (Group, Permission, AuditEntry, AuditHead)
        return [list(model.objects.order_by("pk").values_list()) for model in models]

    before = rows()
    Committing("test_that_writes").debug()
    assert rows() == before


@pytest.mark.django_db(transaction=True)
def test_and_the_trail_is_guarded_as_before() -> None:
    Committing("test_that_writes").debug()
    audit.record_now(trail.fact(1))
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {trail.TABLE}")
