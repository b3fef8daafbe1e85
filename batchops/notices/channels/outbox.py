"""The outbox: what is to be said by which channel, put there in the transaction of its notice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from batchops.notices.channels import quiet_hours
from batchops.notices.kinds import CHANNEL_FAILS, CHANNEL_OFF, KINDS
from batchops.notices.models import Channel, Delivery, InboxItem, Notice, Severity

NO_DELAY: Final = dt.timedelta()
GROUP_DELAY: Final = dt.timedelta(seconds=60)
"""What sums up many facts waits so long for more of them."""
LABELS: Final = {
    Delivery.Event.CLOSED: "All clear",
    Delivery.Event.TEST: "Test",
}


def say(notices: Iterable[Notice]) -> None:
    """Put new notices into the outbox of each channel that wants them; each of them once."""
    notices = list(notices)
    if not notices:
        return
    channels = list(Channel.objects.filter(is_active=True))
    concerned = _concerned(notices, channels)
    now = timezone.now()
    Delivery.objects.bulk_create(
        [
            Delivery(
                channel=channel,
                notice=notice,
                event=Delivery.Event.RAISED,
                created_at=now,
                due_at=_due(channel, notice, now + (GROUP_DELAY if _waits(notice) else NO_DELAY)),
            )
            for notice in notices
            for channel in channels
            if wants(channel, notice)
            and (channel.owner_id is None or (channel.owner_id, notice.pk) in concerned)
        ],
        ignore_conflicts=True,
    )


def say_over(notices: Iterable[Notice]) -> None:
    """All clear, and what a group gained since it was told; to those who were told before."""
    now, rows = timezone.now(), list[Delivery]()
    for notice in notices:
        event = Delivery.Event.CLOSED if notice.lasts else Delivery.Event.MORE
        told = notice.deliveries.filter(event=Delivery.Event.RAISED, channel__is_active=True)
        if not notice.lasts:
            told = told.filter(message__number__lt=notice.number)
        rows += [
            Delivery(
                channel=one.channel,
                notice=notice,
                event=event,
                created_at=now,
                due_at=_due(one.channel, notice, now),
            )
            for one in told.select_related("channel")
        ]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)


def wants(channel: Channel, notice: Notice) -> bool:
    """Whether a notice matters enough for a channel; one that fails is not told of itself."""
    is_itself = notice.kind in (CHANNEL_FAILS.name, CHANNEL_OFF.name) and notice.key.endswith(
        f":{channel.pk}"
    )
    return notice.severity >= channel.least_severity and not is_itself


def compose(delivery: Delivery) -> dict[str, Any]:
    """What a message says: words, numbers and names, and never a secret or a contact."""
    notice, event = delivery.notice, Delivery.Event(delivery.event)
    at = timezone.now().astimezone(dt.UTC)
    message: dict[str, Any] = {
        "id": str(delivery.message_id),
        "event": event.value,
        "at": f"{at.day} {at:%b %Y %H:%M} UTC",
        "timestamp": at.isoformat(timespec="seconds"),
        "label": LABELS.get(event, "Information"),
    }
    if notice is None:
        return message | {
            "tone": "info",
            "kind": "test",
            "title": f"This is a test of the channel {delivery.channel.name}",
            "advice": "It arrives here, so notices will, too.",
            "link": address("/notices/"),
        }
    is_over = event == Delivery.Event.CLOSED
    return message | {
        "label": LABELS.get(event, notice.get_severity_display()),
        "tone": "good" if is_over else notice.tone,
        "kind": notice.kind,
        "notice": notice.pk,
        "severity": notice.severity,
        "title": notice.title,
        "advice": "" if is_over else notice.advice,
        "link": address(notice.link),
        "number": notice.number,
        "change_id": str(notice.change_id) if notice.change_id else None,
        "batch_id": notice.batch_id,
        "campaign_id": notice.campaign_id,
        "raised_at": notice.raised_at.isoformat(timespec="seconds"),
    }


def address(link: str) -> str:
    """The whole address of a page; empty where SITE_URL does not say where the site is."""
    return f"{settings.SITE_URL}{link}" if settings.SITE_URL and link else ""


def _waits(notice: Notice) -> bool:
    return KINDS[notice.kind].groups


def _concerned(notices: list[Notice], channels: list[Channel]) -> set[tuple[int, int]]:
    """Which owners of channels have which notices in their inbox."""
    owners = [one.owner_id for one in channels if one.owner_id is not None]
    if not owners:
        return set()
    found = InboxItem.objects.filter(user__in=owners, notice__in=notices)
    return set(found.values_list("user_id", "notice_id"))


def _due(channel: Channel, notice: Notice, at: dt.datetime) -> dt.datetime:
    """When a message is sent: after the quiet hours, unless it is urgent."""
    return at if notice.severity >= Severity.URGENT else quiet_hours.after(channel, at)
