"""The batch list as a file, as it is filtered and sorted: CSV, XLSX or JSON.

An export is recorded before its first byte leaves. What the mirror holds goes out, in UTC.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from django.db import models, transaction
from django.db.models import QuerySet
from django.utils import timezone

from batchops import audit, permissions
from batchops.models import Action, Batch, Hold
from batchops.services import authorization
from batchops.services.errors import InvalidInput
from batchops.services.table_files import writers

if TYPE_CHECKING:
    from django.contrib.auth.models import User

ROWS_AT_A_TIME: Final = 1_000


class BatchFileFormat(models.TextChoices):
    """What a list of batches is written as."""

    CSV = "csv", "CSV"
    XLSX = "xlsx", "Excel (XLSX)"
    JSON = "json", "JSON"


_WRITERS: Final[dict[str, tuple[str, Callable[..., Iterator[bytes]]]]] = {
    BatchFileFormat.CSV: (writers.CSV_TYPE, writers.csv_chunks),
    BatchFileFormat.XLSX: (writers.XLSX_TYPE, writers.xlsx_chunks),
    BatchFileFormat.JSON: (writers.JSON_TYPE, writers.json_chunks),
}
_COLUMNS: Final[dict[str, str | None]] = {
    "batch_id": "batch_id",
    "campaign_id": "campaign_id",
    "campaign_name": "campaign__campaign_name",
    "mode": "campaign__mode",
    "status": "status",
    "paused": "paused",
    "holds": None,
    "paused_by": None,
    "paused_until": None,
    "pause_reason": None,
    "expires_on": "expires_on",
    "call_rate": "call_rate",
    "auto_call_rate": "auto_call_rate",
    "created_at": "created_at",
    "last_updated_at": "last_updated_at",
    "last_updated_by": "last_updated_by",
    "upload_filename": "upload_filename",
    "error_message": "error_message",
    "deleted_at": "deleted_at",
    "missing_since": "missing_since",
    "changed_externally_at": "changed_externally_at",
    "id_shared_since": "id_shared_since",
    "observed_at": "observed_at",
}
"""Each heading, and where its value stands; None: it is told by the holds."""
_FIELDS: Final = [path for path in _COLUMNS.values() if path]
_BETWEEN: Final = "; "


@authorization.records_denials
def export(
    found: QuerySet[Batch],
    kind: BatchFileFormat,
    *,
    user: User,
    actor: audit.Actor,
    description: str,
) -> writers.Export:
    """Record an export of batches and give out its bytes, in the order of `found`.

    `description` says in words how they were found. Raises NotAllowed without the permission,
    InvalidInput when there are none.
    """
    authorization.require(user, permissions.VIEW_BATCHES, actor)
    rows = found.count()
    if not rows:
        raise InvalidInput("No batch matches, so there is nothing to export.")
    with transaction.atomic():
        audit.record(
            audit.Fact(
                Action.BATCHES_EXPORTED,
                actor,
                outcome="ok",
                detail={"batches": rows, "filter": description, "kind": kind.value},
            )
        )
    content_type, write = _WRITERS[kind]
    return writers.Export(
        filename=f"batches-{timezone.now():%Y%m%d-%H%M%S}.{kind.value}",
        content_type=content_type,
        rows=rows,
        chunks=write(list(_COLUMNS), _slices(found)),
    )


def _slices(found: QuerySet[Batch]) -> Iterator[Sequence[list[Any]]]:
    rows = found.values(*_FIELDS).iterator(ROWS_AT_A_TIME)
    while part := list(itertools.islice(rows, ROWS_AT_A_TIME)):
        held = _held([row["batch_id"] for row in part if row["paused"]])
        yield [_cells(row, held.get(row["batch_id"], [])) for row in part]


def _held(batch_ids: Sequence[str]) -> dict[str, list[Hold]]:
    """The holds that stand on each of these paused batches, the oldest first."""
    held: dict[str, list[Hold]] = {}
    for hold in Hold.objects.standing().filter(batch__in=batch_ids).select_related("change"):
        held.setdefault(hold.batch_id, []).append(hold)
    return held


def _cells(row: dict[str, Any], holds: Sequence[Hold]) -> list[object]:
    told = {
        "holds": len(holds),
        "paused_by": _BETWEEN.join(hold.owner for hold in holds),
        "paused_until": _until(holds),
        "pause_reason": _BETWEEN.join(hold.reason for hold in holds if hold.reason),
    }
    return [_plain(row[path] if path else told[name]) for name, path in _COLUMNS.items()]


def _until(holds: Sequence[Hold]) -> dt.datetime | None:
    """When the last hold ends; None where one of them has no end."""
    ends = [hold.ends_at for hold in holds]
    ahead = [end for end in ends if end is not None]
    return max(ahead) if ahead and len(ahead) == len(ends) else None


def _plain(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    return value
