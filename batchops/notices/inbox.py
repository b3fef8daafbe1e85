"""One person's notices: how many are unread, and reading them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from django.db.models import QuerySet
from django.utils import timezone

from batchops.notices import kinds
from batchops.notices.models import InboxItem

if TYPE_CHECKING:
    from django.contrib.auth.models import User

COUNTED_MOST: Final = 100
"""Beyond it nobody cares how many exactly."""
TOASTS: Final = (kinds.FINISHED.name, kinds.FAILED.name, kinds.HALTED.name)
"""What pops up on an open page: a change of one's own that ended, or cannot go on."""
TOASTS_MOST: Final = 3


def of(user: User) -> QuerySet[InboxItem]:
    """A person's notices, the latest first."""
    return InboxItem.objects.filter(user=user).select_related("notice")


def unread(user: User) -> QuerySet[InboxItem]:
    return of(user).filter(read_at__isnull=True)


def unread_ids(user: User) -> list[int]:
    """The unread notices' numbers, the latest first, at most `COUNTED_MOST`: one short query."""
    found = InboxItem.objects.filter(user=user, read_at__isnull=True)
    return list(found.values_list("notice_id", flat=True)[:COUNTED_MOST])


def toasts(user: User, after: int) -> list[InboxItem]:
    """What came after a notice and should pop up, the oldest first."""
    found = unread(user).filter(notice_id__gt=after, notice__kind__in=TOASTS)
    return list(found[:TOASTS_MOST])[::-1]


def mark_read(user: User, notices: Iterable[int] | None = None) -> int:
    """Mark some of a person's notices as read, or all of them; returns how many were unread."""
    found = InboxItem.objects.filter(user=user, read_at__isnull=True)
    if notices is not None:
        found = found.filter(notice_id__in=list(notices))
    return found.update(read_at=timezone.now())


def mark_unread(user: User, notice: int) -> int:
    """Mark one of a person's notices as not read; returns how many were."""
    found = InboxItem.objects.filter(user=user, notice_id=notice, read_at__isnull=False)
    return found.update(read_at=None)
