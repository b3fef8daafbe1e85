"""States that are worth a word for as long as they last, read from how things stand now."""

from __future__ import annotations

import datetime as dt
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet
from django.utils import timezone

from batchops.models import (
    RUNNABLE_STATES,
    Action,
    AuditEntry,
    Batch,
    Campaign,
    Change,
    ChangeState,
    Hold,
)
from batchops.models.batch import counted
from batchops.notices import kinds, links
from batchops.notices.facts import asked
from batchops.notices.kinds import Kind, Raised, always
from batchops.notices.models import Channel
from batchops.services.anchors import outlets
from batchops.services.mirror import freshness
from batchops.services.proof import watch
from batchops.services.trail import sentences

STARTS_WITHIN: Final = dt.timedelta(minutes=15)
PAUSE_ENDS_WITHIN: Final = dt.timedelta(hours=1)
SIGN_INS_SPAN: Final = dt.timedelta(minutes=10)
FAILED_SIGN_INS: Final = 10
"""So many failed sign-ins within the span are worth a word."""
KEY_DAYS: Final = 14
FAILING_SPAN: Final = dt.timedelta(minutes=5)
FREE_LEAST: Final = 0.05
"""Share of a disk that should be free."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Finds the states of some kinds as they are now. `about`: it speaks for those alone."""

    kinds: tuple[Kind, ...]
    find: Callable[[], Iterable[Raised]]
    about: str | None = None


def _changes(kind: Kind, found: Iterable[Change], words: str) -> Iterator[Raised]:
    for change in found:
        title = f"{words}: {asked(change)}"
        yield Raised(
            kind,
            str(change.pk),
            always(title),
            links.change(change.pk),
            change_id=change.pk,
            people=frozenset(change.author_ids),
        )


def awaiting_approval() -> Iterator[Raised]:
    """Changes that wait for another person, who is told; never their authors."""
    for change in Change.objects.filter(state=ChangeState.AWAITING_APPROVAL):
        who, why = sentences.shown(change.requested_by_name, 80), sentences.shown(change.reason)
        title = f"{who} asks for approval: {asked(change)}. Why: {why}"
        yield Raised(
            kinds.DRAFT_READY,
            str(change.pk),
            always(title),
            links.change(change.pk),
            change_id=change.pk,
            not_for=frozenset(change.author_ids),
        )


def halted() -> Iterator[Raised]:
    found = Change.objects.filter(state__in=RUNNABLE_STATES).exclude(halted_reason="")
    return _changes(kinds.HALTED, found, "Halted")


def waiting() -> Iterator[Raised]:
    before = timezone.now() - dt.timedelta(minutes=settings.NOTICE_WAITING_MINUTES)
    found = Change.objects.filter(
        state__in=RUNNABLE_STATES, halted_reason="", waiting_since__lte=before
    ).exclude(waiting_reason="")
    return _changes(kinds.WAITING, found, "Still waiting for the vendor")


def starting_soon() -> Iterator[Raised]:
    until = timezone.now() + STARTS_WITHIN
    found = Change.objects.filter(state=ChangeState.SCHEDULED, starts_at__lte=until)
    return _changes(kinds.STARTS_SOON, found, "Starts within 15 minutes")


def pauses_ending_soon() -> Iterator[Raised]:
    found = (
        Change.objects.visible()
        .filter(resume_at__lte=timezone.now() + PAUSE_ENDS_WITHIN)
        .exclude(state=ChangeState.REJECTED)
        .filter(Exists(_holding(OuterRef("pk"))) | Q(state__in=(*RUNNABLE_STATES,)))
    )
    return _changes(kinds.PAUSE_ENDS_SOON, found, "Ends within an hour")


def paused_with_no_end() -> Iterator[Raised]:
    """Grouped by the pause that holds them; of others' pauses, only what was left alone since."""
    days = settings.NOTICE_PAUSED_DAYS
    before = timezone.now() - dt.timedelta(days=days)
    paused = Batch.objects.paused_with_no_end()
    held = Hold.objects.filter(lifted_at=None, change__isnull=False)
    long = held.filter(
        change__started_at__lte=before, change__resume_at=None, batch__in=paused.values("pk")
    )
    numbers = dict(long.order_by().values_list("change").annotate(Count("pk")))
    for change in Change.objects.filter(pk__in=numbers):
        who = sentences.shown(change.responsible_name, 80)
        yield Raised(
            kinds.PAUSED_WITH_NO_END,
            str(change.pk),
            _paused_by(who, days),
            links.change(change.pk),
            number=numbers[change.pk],
            change_id=change.pk,
            people=frozenset(change.author_ids),
        )
    others = (
        paused.filter(last_updated_at__lte=before)
        .exclude(Exists(held.filter(batch=OuterRef("pk"))))
        .count()
    )
    if others:
        yield Raised(
            kinds.PAUSED_WITH_NO_END,
            "outside",
            lambda number: (
                f"Paused outside batchops and unchanged for {days} days or more: {counted(number)}"
            ),
            links.of_list("batch", show="no_end"),
            number=others,
        )


def expiring() -> Iterator[Raised]:
    """Grouped by campaign, and by whether they are paused."""
    hours = settings.NOTICE_EXPIRY_HOURS
    shown = "expiring_24h" if hours <= 24 else "expiring_7d"
    soon = Batch.objects.expiring_within(dt.timedelta(hours=hours))
    found = soon.order_by().values_list("campaign", "paused").annotate(Count("pk"))
    numbers = Counter[tuple[int, bool]]()
    for campaign, paused, number in found:
        numbers[campaign, paused is True] += number
    names = Campaign.objects.in_bulk({campaign for campaign, _ in numbers})
    for (campaign, paused), total in numbers.items():
        name = sentences.shown(str(names[campaign]), 80)
        words = f"{'paused ' if paused else ''}in {name} within {hours} hours"
        yield Raised(
            kinds.EXPIRING_PAUSED if paused else kinds.EXPIRING,
            str(campaign),
            _expiring(words),
            links.of_list("batch", campaign=campaign, show=shown),
            number=total,
            campaign_id=campaign,
        )


def _holding(change: OuterRef) -> QuerySet[Hold]:
    """The holds of a pause on what is still paused."""
    return Hold.objects.filter(change=change, lifted_at=None, batch__paused=True)


def _paused_by(who: str, days: int) -> Callable[[int], str]:
    return lambda number: f"Paused by {who} for {days} days or more, with no end: {counted(number)}"


def _expiring(words: str) -> Callable[[int], str]:
    return lambda number: f"Expiring: {counted(number)}, {words}"


def shared_ids() -> Iterator[Raised]:
    number = Batch.objects.sharing_their_id().count()
    if number:
        yield Raised(
            kinds.SHARED_ID,
            "",
            lambda number: f"With the same id in several campaigns: {counted(number)}",
            links.of_list("batch", show="shared_id"),
            number=number,
        )


def mirror() -> Iterator[Raised]:
    """The key and the age of the mirror; an empty one that was never synced is not old yet."""
    now, page = freshness.freshness(), links.of_list("syncrun")
    if now.key_rejected:
        yield Raised(kinds.KEY_REJECTED, "", always("The vendor rejects the key"), page)
    elif now.is_old and now.synced_at is not None:
        yield Raised(kinds.MIRROR_OLD, "", always("The mirror is out of date"), page)


def key_expiry() -> Iterator[Raised]:
    day: dt.date | None = settings.SYLLABLE_KEY_EXPIRES
    if day is None:
        return
    left = (day - timezone.localdate()).days
    if left <= KEY_DAYS:
        words = "expired" if left < 0 else "expires"
        title = f"The key of the vendor {words} on {day.day} {day:%b %Y}"
        yield Raised(kinds.KEY_EXPIRES, "", always(title), links.of_list("syncrun"))


def trail() -> Iterator[Raised]:
    page = links.of_list("auditentry")
    for problem in watch.standing().problems:
        # Outlets have a kind of their own.
        if not problem.startswith("Anchors cannot be delivered"):
            title, about = sentences.shown(problem, 300), problem[:200]
            yield Raised(kinds.TRAIL_PROBLEM, about, always(title), page)
    for outlet in outlets.failing():
        title = f"Anchors do not reach the {sentences.shown(outlet.name, 80)}"
        yield Raised(kinds.ANCHORS_FAIL, outlet.name, always(title), page)


def failed_sign_ins() -> Iterator[Raised]:
    since = timezone.now() - SIGN_INS_SPAN
    found = AuditEntry.objects.filter(action=Action.ACCOUNT_SIGN_IN_FAILED, at__gte=since)
    summary = found.aggregate(number=Count("pk"), last=Max("sequence"))
    if summary["number"] >= FAILED_SIGN_INS:
        yield Raised(
            kinds.FAILED_SIGN_INS,
            "",
            lambda number: f"{number:,} sign-ins failed within 10 minutes",
            links.of_list("auditentry", action=Action.ACCOUNT_SIGN_IN_FAILED),
            number=summary["number"],
        )


def disk() -> Iterator[Raised]:
    """The disk of DATA_DIR on this host."""
    usage = shutil.disk_usage(settings.DATA_DIR)
    if usage.free < FREE_LEAST * usage.total:
        host = socket.gethostname()
        title = f"Less than {FREE_LEAST:.0%} of the disk is free on {host}"
        yield Raised(kinds.DISK, host, always(title), links.of_list("syncrun"))


def channels() -> Iterator[Raised]:
    """Channels that fail for minutes, or that the other side wants no more of."""
    before = timezone.now() - FAILING_SPAN
    failing = Channel.objects.filter(owner=None, is_active=True, failing_since__lte=before)
    for kind, found, words in (
        (kinds.CHANNEL_FAILS, failing, "does not deliver"),
        (
            kinds.CHANNEL_OFF,
            Channel.objects.filter(is_active=False).exclude(off_reason=""),
            "is off",
        ),
    ):
        for channel in found:
            why = channel.off_reason or channel.last_error
            title = f"Channel {sentences.shown(channel.name, 80)} {words}: {sentences.shown(why)}"
            yield Raised(kind, str(channel.pk), always(title), links.channel(channel.pk))


CONDITIONS: Final = (
    Condition((kinds.DRAFT_READY,), awaiting_approval),
    Condition((kinds.HALTED,), halted),
    Condition((kinds.WAITING,), waiting),
    Condition((kinds.STARTS_SOON,), starting_soon),
    Condition((kinds.PAUSE_ENDS_SOON,), pauses_ending_soon),
    Condition((kinds.PAUSED_WITH_NO_END,), paused_with_no_end),
    Condition((kinds.EXPIRING, kinds.EXPIRING_PAUSED), expiring),
    Condition((kinds.SHARED_ID,), shared_ids),
    Condition((kinds.MIRROR_OLD, kinds.KEY_REJECTED), mirror),
    Condition((kinds.KEY_EXPIRES,), key_expiry),
    Condition((kinds.TRAIL_PROBLEM, kinds.ANCHORS_FAIL), trail),
    Condition((kinds.FAILED_SIGN_INS,), failed_sign_ins),
    Condition((kinds.CHANNEL_FAILS, kinds.CHANNEL_OFF), channels),
    Condition((kinds.DISK,), disk, socket.gethostname()),
)
