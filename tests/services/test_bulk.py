"""A query as a part of a statement of one's own: what Django does not promise to keep."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection

from batchops.services.bulk import sql_of

pytestmark = pytest.mark.django_db


def test_the_sql_of_a_query_finds_what_the_query_finds() -> None:
    for name in ("ada", "olivia", "amir"):
        User.objects.create_user(name)
    rows = User.objects.filter(username__in=("olivia", "amir")).order_by("-username")
    query = sql_of(rows.values_list("username")[:2])
    assert query is not None
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM ({query[0]}) AS part", query[1])
        assert cursor.fetchall() == list(rows.values_list("username"))


def test_a_query_that_can_find_nothing_has_no_sql() -> None:
    assert sql_of(User.objects.filter(pk__in=())) is None
