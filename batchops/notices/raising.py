"""Puts what was raised into notices and inboxes: once for each key, for whom it concerns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone

from batchops.notices.channels import outbox
from batchops.notices.kinds import Raised
from batchops.notices.models import InboxItem, Notice

GROUP_SPAN: Final = dt.timedelta(minutes=15)
"""What comes within it is added to the same notice."""
PERMISSIONS_BACKEND: Final = "django.contrib.auth.backends.ModelBackend"
TITLE_LIMIT: Final = 500


def raise_all(raised: Iterable[Raised]) -> list[Notice]:
    """Raise events, in the transaction of what remembers that they were; returns the notices.

    What has the same key becomes one notice, together with what an open one holds already.
    """
    now = timezone.now()
    close(grouping_over(now), now)
    groups: dict[str, list[Raised]] = {}
    for one in raised:
        groups.setdefault(one.key, []).append(one)
    open_ones = {notice.key: notice for notice in _open(groups)}
    audience, notices, new = Audience(), list[Notice](), list[Notice]()
    for key, group in groups.items():
        known = open_ones.get(key)
        number = sum(one.number for one in group) + (known.number if known else 0)
        people = set().union(*map(audience.of, group))
        if known:
            notice = _add_to(known, group[-1], number, now)
        else:
            notice = _new(group[-1], number, now)
            new.append(notice)
        _deliver(notice, people, is_news=True)
        notices.append(notice)
    outbox.say(new)
    return notices


def begin(raised: Sequence[Raised]) -> list[Notice]:
    """Open a notice for each state that was not known yet; another worker may have been first."""
    now, audience = timezone.now(), Audience()
    rows = [_row(one, one.number, now) for one in raised]
    Notice.objects.bulk_create(rows, ignore_conflicts=True)
    notices = {notice.key: notice for notice in _open(one.key for one in raised)}
    for one in raised:
        _deliver(notices[one.key], audience.of(one), is_news=False)
    outbox.say(notices.values())
    return list(notices.values())


def go_on(notice: Notice, raised: Raised, people: set[int]) -> None:
    """Say of an open state how it stands now, also to those whom it did not concern before."""
    title = raised.title(raised.number)[:TITLE_LIMIT]
    if (notice.title, notice.number) != (title, raised.number):
        notice.title, notice.number, notice.last_at = title, raised.number, timezone.now()
        notice.save(update_fields=["title", "number", "last_at"])
    _deliver(notice, people, is_news=False)


def close(notices: QuerySet[Notice], now: dt.datetime) -> int:
    """Close notices: nothing is added to them, and what was a state is over."""
    over = list(notices.filter(closed_at=None))
    if not over:
        return 0
    outbox.say_over(over)
    return Notice.objects.filter(pk__in=[one.pk for one in over], closed_at=None).update(
        closed_at=now
    )


def grouping_over(now: dt.datetime) -> QuerySet[Notice]:
    """Open groups of events that are old enough to be closed."""
    return Notice.objects.filter(
        closed_at__isnull=True, lasts=False, raised_at__lte=now - GROUP_SPAN
    )


class Audience:
    """Whom things concern; each permission is looked up once."""

    def __init__(self) -> None:
        self._holders: dict[str, frozenset[int]] = {}
        self._staff: frozenset[int] | None = None

    def of(self, raised: Raised) -> set[int]:
        """The accounts that something is told to: those that can sign in, and may see it."""
        permission = raised.kind.permission
        told = set(raised.people & self._all()) if raised.people else set()
        if permission:
            told |= self._with(permission)
        return told - raised.not_for

    def _with(self, permission: str) -> frozenset[int]:
        if permission not in self._holders:
            found = User.objects.with_perm(permission, backend=PERMISSIONS_BACKEND)
            self._holders[permission] = frozenset(
                found.filter(is_staff=True).values_list("pk", flat=True)
            )
        return self._holders[permission]

    def _all(self) -> frozenset[int]:
        if self._staff is None:
            people = User.objects.filter(is_active=True, is_staff=True)
            self._staff = frozenset(people.values_list("pk", flat=True))
        return self._staff


def _open(keys: Iterable[str]) -> Iterable[Notice]:
    return Notice.objects.filter(key__in=list(keys), closed_at__isnull=True)


def _row(raised: Raised, number: int, now: dt.datetime) -> Notice:
    kind = raised.kind
    is_open = kind.lasts or kind.groups
    return Notice(
        kind=kind.name,
        key=raised.key[:400],
        severity=kind.severity,
        title=raised.title(number)[:TITLE_LIMIT],
        advice=kind.advice,
        link=raised.link[:1_000],
        number=number,
        change_id=raised.change_id,
        batch_id=raised.batch_id,
        campaign_id=raised.campaign_id,
        lasts=kind.lasts,
        raised_at=now,
        last_at=now,
        closed_at=None if is_open else now,
    )


def _new(raised: Raised, number: int, now: dt.datetime) -> Notice:
    notice = _row(raised, number, now)
    notice.save()
    return notice


def _add_to(notice: Notice, raised: Raised, number: int, now: dt.datetime) -> Notice:
    notice.title, notice.number, notice.last_at = (
        raised.title(number)[:TITLE_LIMIT],
        number,
        now,
    )
    notice.link = raised.link[:1_000]
    notice.save(update_fields=["title", "number", "last_at", "link"])
    return notice


def _deliver(notice: Notice, people: set[int], *, is_news: bool) -> None:
    """Put a notice into inboxes; what is news is unread again for those who had read it."""
    items = [InboxItem(user_id=one, notice=notice) for one in sorted(people)]
    if not items:
        return
    if is_news:
        InboxItem.objects.bulk_create(
            items,
            update_conflicts=True,
            unique_fields=["user", "notice"],
            update_fields=["read_at"],
        )
        return
    there = set(notice.inbox_items.values_list("user_id", flat=True))
    missing = [item for item in items if item.user_id not in there]
    if missing:
        InboxItem.objects.bulk_create(missing, ignore_conflicts=True)
