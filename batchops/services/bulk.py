"""Many rows by one statement: updated, each to values of its own, or found as a part of it.

Django's `bulk_update` builds one huge CASE expression, and an upsert writes every column: both
cost several times what the update itself does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar, cast

from django.core.exceptions import EmptyResultSet
from django.db import connection, transaction
from django.db.models import Field, JSONField, Model, QuerySet

PLAIN: Final = (str, int, float, type(None))

Item = TypeVar("Item")


def in_chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of at most `size` items, each read when it is wanted."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def update_rows(
    model: type[Model], names: Sequence[str], rows: Sequence[tuple[Any, Sequence[Any]]]
) -> None:
    """Set the named fields of each row, given as its primary key and its values in that order."""
    if not rows:
        return
    key = _field(model, "pk")
    fields = [_field(model, name) for name in names]
    assignments = ", ".join(f"{_column(field)} = %s" for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    statement = f"UPDATE {table} SET {assignments} WHERE {_column(key)} = %s"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.executemany(
            statement,
            [
                (*map(_stored, fields, values), _stored(key, primary_key))
                for primary_key, values in rows
            ],
        )


def update_in_order(rows: QuerySet[Any], **values: Any) -> int:
    """Set the same values on many rows, locked by their keys in order; returns how many.

    An UPDATE alone locks rows in the order in which it meets them, so that two of them may each
    wait for what the other has. What is locked by others meanwhile is waited for.
    """
    in_order = rows.select_for_update(no_key=True, of=("self",)).order_by("pk").values("pk")
    with transaction.atomic():
        return int(rows.model._default_manager.filter(pk__in=in_order).update(**values))


def sql_of(rows: QuerySet[Any]) -> tuple[str, tuple[Any, ...]] | None:
    """A query as SQL with its parameters; None for one that finds nothing, whatever there is.

    Django offers no public way to make a query a part of an INSERT or a UNION of one's own.
    """
    try:
        sql, parameters = rows.query.get_compiler(connection=connection).as_sql()
    except EmptyResultSet:
        return None
    return sql, tuple(parameters)


def _field(model: type[Model], name: str) -> Field[Any, Any]:
    return cast(Field[Any, Any], model._meta.pk if name == "pk" else model._meta.get_field(name))


def _column(field: Field[Any, Any]) -> str:
    return connection.ops.quote_name(str(field.column))


def _stored(field: Field[Any, Any], value: Any) -> Any:
    # What databases take as it is, most values by far, need not go through the field.
    if isinstance(value, PLAIN) and not isinstance(field, JSONField):
        return value
    return field.get_db_prep_save(value, connection)
