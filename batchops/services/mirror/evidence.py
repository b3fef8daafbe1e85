"""What an answer of the vendor proves about a batch, and what it cannot.

The vendor's reads may lag behind its writes for `SYLLABLE_READ_LAG` seconds, lists and single
batches differently. What cannot be proven no older than what batchops knows proves nothing: it
never overwrites the mirror, and nothing is left unsent because of it. Knows no database.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from django.conf import settings
from django.utils import timezone

from batchops.models import Batch
from batchops.syllable.patch import PATCH_FIELDS, Values, same_value
from batchops.syllable.records import BatchRecord


@dataclass(frozen=True, slots=True)
class Known:
    """What batchops knows of a batch. Instants are UTC.

    `observed_at`: when the values were seen. `written_at`: the last instant at which a write of
    ours may have taken effect; None: there was none.
    """

    values: Values
    status: str
    observed_at: dt.datetime
    written_at: dt.datetime | None = None
    last_updated_at: dt.datetime | None = None
    created_at: dt.datetime | None = None

    @classmethod
    def of(cls, row: Batch) -> Known:
        return cls(
            Values.of(row),
            row.status,
            row.observed_at,
            row.written_at,
            row.last_updated_at,
            row.created_at,
        )

    @property
    def is_in_doubt(self) -> bool:
        """Whether a write of ours may have taken effect that nothing seen since has shown."""
        return self.written_at is not None and self.written_at > self.observed_at

    def doubted(self) -> Known:
        """The same after a write of which nobody knows whether it took effect."""
        return replace(self, written_at=timezone.now())

    def is_outrun_by(self, sent_at: dt.datetime) -> bool:
        """Whether any answer to a read sent then shows our last write, however far reads lag."""
        return self.written_at is None or lag_has_passed(self.written_at, sent_at)

    def is_proven_by(self, record: BatchRecord, sent_at: dt.datetime) -> bool:
        """Whether an answer to a read sent at `sent_at` is provably no older than this.

        By the time that has passed since; else by the vendor's own `last_updated_at`: a later
        one, or the same one with the same values and status. Two writes can share a second.
        """
        shown, seen = record.last_updated_at, self.last_updated_at
        if shown is not None and seen is not None:
            if shown < seen and not lag_has_passed(self.observed_at, sent_at):
                return False
            if shown > seen and not self.is_in_doubt:
                return True
            is_same = record.status == self.status and same_values(record, self.values)
            if shown == seen and not self.is_in_doubt and is_same:
                return True
        return self.is_outrun_by(sent_at)

    def is_gone_by(self, sent_at: dt.datetime) -> bool:
        """Whether "no such batch" to a read sent then is no answer from before it was made."""
        return lag_has_passed(self.created_at or self.observed_at, sent_at)


def read_lag() -> dt.timedelta:
    """How far the vendor's reads may lag behind its writes."""
    return dt.timedelta(seconds=settings.SYLLABLE_READ_LAG)


def lag_has_passed(since: dt.datetime, sent_at: dt.datetime) -> bool:
    """Whether a read sent at `sent_at` shows all that happened until `since`.

    An instant that is still ahead was written before the clock was set back.
    """
    return sent_at >= since + read_lag() or since > timezone.now() + read_lag()


def same_values(first: object, second: object) -> bool:
    """Whether two batches agree in all that an update can change."""
    return all(
        same_value(name, getattr(first, name), getattr(second, name)) for name in PATCH_FIELDS
    )
