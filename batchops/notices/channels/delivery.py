"""Delivers the outbox: each channel in a thread of its own, in order, with deadlines and an end.

A channel is one worker's while its lease lasts. A message is marked as sent after it was sent: a
worker that dies in between leaves it to be sent again, with the same id.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import uuid
from typing import Any, Final

from django.db import connections, transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from batchops import audit
from batchops.notices.channels import formats, mail, outbox, own_mail, posting, sealing
from batchops.notices.channels.failures import DeliveryFailed
from batchops.notices.models import Channel, Delivery
from batchops.services.trail import sentences

logger = logging.getLogger(__name__)

LEASE: Final = dt.timedelta(seconds=90)
"""Longer than any one attempt may take."""
BACKOFF_SECONDS: Final = (5, 30, 120, 300, 900, 1800, 3600, 3600, 7200, 7200, 14_400)
"""Waits between the attempts; after the last of them a message is given up."""
REFUSALS_MOST: Final = 3
"""Attempts after which a refused message is given up."""
THREADS_MOST: Final = 8
WORDS_MOST: Final = 300

_threads: dict[int, threading.Thread] = {}


def start_due() -> None:
    """Start a thread for each channel that has something to send, and that nobody sends by."""
    for pk in _due(timezone.now()):
        for gone in [key for key, thread in _threads.items() if not thread.is_alive()]:
            del _threads[gone]
        if pk not in _threads and len(_threads) < THREADS_MOST:
            thread = threading.Thread(target=_run, args=(pk,), name=f"channel-{pk}", daemon=True)
            _threads[pk] = thread
            thread.start()


def deliver_by(pk: int) -> int:
    """Send what is due by a channel, one after the other; returns how many were sent.

    Stops at one that fails, which goes before all others, and when another worker has the channel.
    """
    lease, sent = uuid.uuid4(), 0
    while channel := _leased(pk, lease):
        delivery = _next(channel)
        if delivery is None or not attempt(channel, delivery):
            break
        sent += 1
    Channel.objects.filter(pk=pk, lease=lease).update(lease=None, lease_until=None)
    return sent


def attempt(channel: Channel, delivery: Delivery) -> bool:
    """Send one message and note what became of it; whether it was sent."""
    if delivery.message is None:
        # A worker whose lease ended may be composing it, too: the first to keep it is repeated.
        uncomposed = Delivery.objects.filter(pk=delivery.pk, message__isnull=True)
        uncomposed.update(message=outbox.compose(delivery))
        delivery.refresh_from_db(fields=["message"])
    try:
        send(channel, delivery.message or {})
    except DeliveryFailed as failure:
        _note_failure(channel, delivery, failure)
        return False
    _note_sent(channel, delivery)
    return True


def send(channel: Channel, message: dict[str, Any]) -> None:
    """Send a message by a channel. Raises DeliveryFailed, with nothing secret in its words."""
    hidden: list[str] = []
    try:
        if channel.owner is not None:
            own_mail.send(channel.owner, message)
            return
        target = sealing.open_sealed(channel.sealed_target)
        hidden = [target]
        if channel.kind == Channel.Kind.MAIL:
            mail.send(message, [one.strip() for one in target.split(",")])
            return
        if channel.kind == Channel.Kind.WEBHOOK:
            secret = sealing.open_sealed(channel.sealed_secret)
            hidden.append(secret)
            body, headers = formats.webhook(message, secret, timezone.now())
        else:
            body, headers = formats.BY_KIND[channel.kind](message)
        posting.post(target, body, headers)
    except sealing.CannotOpen as error:
        raise DeliveryFailed(str(error)) from error
    except DeliveryFailed as failure:
        words = failure.words
        for secret in hidden:
            words = words.replace(secret, "…")
        words = sentences.shown(words, WORDS_MOST)
        raise DeliveryFailed(words, status=failure.status) from None


def _due(now: dt.datetime) -> list[int]:
    """The channels that have something to send now, and are nobody's."""
    free = Channel.objects.filter(
        Q(lease_until__isnull=True) | Q(lease_until__lte=now), is_active=True
    )
    first = _candidates(Delivery.objects.filter(channel=OuterRef("pk")), now).values("due_at")[:1]
    return list(
        free.annotate(first=Subquery(first)).filter(first__lte=now).values_list("pk", flat=True)
    )


def _next(channel: Channel) -> Delivery | None:
    """What is sent next by a channel; nothing while the one that failed last has to wait."""
    now = timezone.now()
    found = _candidates(channel.deliveries.select_related("notice", "channel"), now).first()
    return found if found is not None and found.due_at <= now else None


def _candidates(deliveries: QuerySet[Delivery], now: dt.datetime) -> QuerySet[Delivery]:
    begun = Q(attempts__gt=0) | Q(due_at__lte=now)
    return deliveries.filter(begun, state=Delivery.State.PENDING).order_by("pk")


def _leased(pk: int, lease: uuid.UUID) -> Channel | None:
    """The channel, leased for one more attempt; None when it is off or another worker's."""
    now = timezone.now()
    free = Q(lease=lease) | Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    taken = Channel.objects.filter(free, pk=pk, is_active=True).update(
        lease=lease, lease_until=now + LEASE
    )
    return Channel.objects.select_related("owner").get(pk=pk) if taken else None


def _note_sent(channel: Channel, delivery: Delivery) -> None:
    with transaction.atomic():
        Channel.objects.filter(pk=channel.pk, failing_since__isnull=False).update(
            failing_since=None, last_error=""
        )
        Delivery.objects.filter(pk=delivery.pk).update(
            state=Delivery.State.SENT,
            attempts=delivery.attempts + 1,
            sent_at=timezone.now(),
            error="",
        )


def _note_failure(channel: Channel, delivery: Delivery, failure: DeliveryFailed) -> None:
    now, attempts = timezone.now(), delivery.attempts + 1
    most = REFUSALS_MOST if failure.is_refusal else len(BACKOFF_SECONDS) + 1
    fields: dict[str, Any] = {"attempts": attempts, "error": failure.words}
    if failure.is_gone or attempts >= most:
        fields["state"] = Delivery.State.DEAD
    else:
        fields["due_at"] = now + dt.timedelta(seconds=BACKOFF_SECONDS[attempts - 1])
    with transaction.atomic():
        if failure.is_gone:
            _switch_off(channel, failure)
        else:
            Channel.objects.filter(pk=channel.pk).update(
                failing_since=channel.failing_since or now, last_error=failure.words
            )
        Delivery.objects.filter(pk=delivery.pk).update(**fields)
    logger.warning("A notice could not be sent by channel %s: %s", channel.pk, failure.words)


def _switch_off(channel: Channel, failure: DeliveryFailed) -> None:
    """The other side wants no more: the channel sends nothing until somebody switches it on."""
    words = f"The other side wants no more messages ({failure.words})."
    Channel.objects.filter(pk=channel.pk).update(
        is_active=False, off_reason=words, failing_since=None, last_error=failure.words
    )
    waiting = channel.deliveries.filter(state=Delivery.State.PENDING)
    waiting.update(state=Delivery.State.DEAD, error=words)
    audit.record(
        audit.Fact(
            audit.Action.CHANNEL_SWITCHED_OFF,
            audit.SYSTEM,
            outcome="failed",
            detail={"channel": channel.name, "why": words},
        )
    )


def _run(pk: int) -> None:
    try:
        deliver_by(pk)
    except Exception:
        logger.exception("The thread of channel %s failed.", pk)
    finally:
        connections.close_all()
