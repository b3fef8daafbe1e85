"""Mail to a person of what is in their inbox: from how much it matters, and at which hours."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction

from batchops import audit
from batchops.notices.channels import mail
from batchops.notices.channels.failures import DeliveryFailed
from batchops.notices.models import Channel, Severity
from batchops.services.errors import InvalidInput

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants by mail. `least_severity` None: nothing. Both quiet times, or neither."""

    least_severity: int | None
    quiet_from: dt.time | None
    quiet_until: dt.time | None
    zone: str


def of(user: User) -> Channel | None:
    """A person's own channel, if they ever asked for mail."""
    return Channel.objects.filter(owner=user).first()


def save(user: User, wanted: Wanted, *, actor: audit.Actor) -> Channel:
    """Keep what a person wants by mail. Raises InvalidInput that names the field."""
    if wanted.least_severity is not None and not user.email:
        raise InvalidInput(
            "Your account has no mail address. Ask an administrator to enter it.", "least_severity"
        )
    if (wanted.quiet_from is None) != (wanted.quiet_until is None):
        raise InvalidInput("Give both times, or neither.", "quiet_until")
    severity = Severity.URGENT if wanted.least_severity is None else Severity(wanted.least_severity)
    fields = {
        "kind": Channel.Kind.MAIL,
        "name": f"mail to account {user.pk}",
        "is_active": wanted.least_severity is not None,
        "least_severity": severity,
        "quiet_from": wanted.quiet_from,
        "quiet_until": wanted.quiet_until,
        "zone": wanted.zone,
        "failing_since": None,
        "last_error": "",
    }
    detail = {
        "channel": f"mail to {user.get_username()}",
        "is_active": fields["is_active"],
        "least_severity": str(severity.label),
        "quiet": f"{wanted.quiet_from or ''}-{wanted.quiet_until or ''} {wanted.zone}",
    }
    with transaction.atomic():
        channel, _ = Channel.objects.update_or_create(owner=user, defaults=fields)
        if not channel.is_active:
            # What was to come is not wanted any more.
            channel.deliveries.filter(state="pending").delete()
        audit.record(audit.Fact(audit.Action.CHANNEL_CHANGED, actor, outcome="ok", detail=detail))
    return channel


def send(owner: User, message: dict[str, Any]) -> None:
    """Mail a message to its owner, at the address that the account has now."""
    if not (owner.is_active and owner.email):
        raise DeliveryFailed("The account is not active, or has no mail address.")
    mail.send(message, [owner.email])
