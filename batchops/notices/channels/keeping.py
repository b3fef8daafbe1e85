"""Keeping channels: added, changed, tested and tried again, each with an entry in the trail."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from batchops import audit, permissions
from batchops.notices.channels import formats, posting, sealing
from batchops.notices.models import Channel, Delivery
from batchops.services import authorization
from batchops.services.errors import InvalidInput

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CHANNELS_MOST: Final = 50
ADDRESSES_MOST: Final = 20
_ENV: Final = re.compile(r"env:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a channel should be; an empty target or secret keeps what there is."""

    name: str
    kind: str
    target: str
    secret: str
    least_severity: int
    is_active: bool


@authorization.records_denials
def save(
    channel: Channel, wanted: Wanted, *, user: User, actor: audit.Actor
) -> tuple[Channel, str]:
    """Add a channel, or change one; also returns a signing secret that was made, to be shown once.

    Raises NotAllowed, or InvalidInput that names the field.
    """
    _require_may_keep(user, actor)
    is_new, made = channel._state.adding, ""
    if is_new and Channel.objects.filter(owner=None).count() >= CHANNELS_MOST:
        raise InvalidInput(f"There are {CHANNELS_MOST} channels already.", "name")
    if wanted.target or is_new or wanted.kind != channel.kind:
        channel.shown_target = _checked_target(wanted.kind, wanted.target.strip())
        channel.sealed_target = sealing.seal(wanted.target.strip())
    if wanted.kind == Channel.Kind.WEBHOOK:
        if wanted.secret:
            _check_secret(wanted.secret.strip())
            channel.sealed_secret = sealing.seal(wanted.secret.strip())
        elif not channel.sealed_secret:
            made = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
            channel.sealed_secret = sealing.seal(made)
    else:
        channel.sealed_secret = ""
    if wanted.is_active and not channel.is_active:
        channel.off_reason, channel.failing_since, channel.last_error = "", None, ""
    channel.name, channel.kind = wanted.name.strip(), wanted.kind
    channel.least_severity, channel.is_active = wanted.least_severity, wanted.is_active
    with transaction.atomic():
        channel.save()
        action = audit.Action.CHANNEL_ADDED if is_new else audit.Action.CHANNEL_CHANGED
        _record(action, channel, actor, new_target=bool(wanted.target), new_secret=bool(made))
    return channel, made


@authorization.records_denials
def send_test(channel: Channel, *, user: User, actor: audit.Actor) -> Delivery:
    """Put a test into the outbox. Raises NotAllowed, or InvalidInput for a channel that is off."""
    _require_may_keep(user, actor)
    if not channel.is_active:
        raise InvalidInput("This channel is switched off.")
    now = timezone.now()
    with transaction.atomic():
        test = Delivery.objects.create(
            channel=channel, event=Delivery.Event.TEST, created_at=now, due_at=now
        )
        _record(audit.Action.CHANNEL_TESTED, channel, actor, message=str(test.message_id))
    return test


@authorization.records_denials
def try_again(channel: Channel, *, user: User, actor: audit.Actor) -> int:
    """Send again all that was given up; returns how many. Raises NotAllowed or InvalidInput."""
    _require_may_keep(user, actor)
    if not channel.is_active:
        raise InvalidInput("This channel is switched off.")
    with transaction.atomic():
        again = channel.deliveries.filter(state=Delivery.State.DEAD).update(
            state=Delivery.State.PENDING, attempts=0, due_at=timezone.now()
        )
        # What waits for its next attempt does not wait any longer.
        channel.deliveries.filter(state=Delivery.State.PENDING, attempts__gt=0).update(
            due_at=timezone.now()
        )
        _record(audit.Action.CHANNEL_TRIED_AGAIN, channel, actor, messages=again)
    return again


def _require_may_keep(user: User, actor: audit.Actor) -> None:
    authorization.require(user, permissions.KEEP_CHANNELS, actor)


def _checked_target(kind: str, target: str) -> str:
    """What may be shown of a target. Raises InvalidInput."""
    if kind == Channel.Kind.MAIL:
        addresses = [one.strip() for one in target.split(",") if one.strip()]
        if not 1 <= len(addresses) <= ADDRESSES_MOST:
            raise InvalidInput(f"Give 1 to {ADDRESSES_MOST} addresses.", "target")
        for one in addresses:
            try:
                validate_email(one)
            except ValidationError:
                raise InvalidInput(f"This is not a mail address: {one[:80]}", "target") from None
        return ", ".join(addresses)
    if _ENV.match(target):
        if not sealing.NAMED.fullmatch(target):
            raise InvalidInput("Name a variable as env:NOTICE_…, in capitals.", "target")
        return target
    try:
        return posting.host_of(target)
    except ValueError:
        raise InvalidInput("Give a web address that begins with https://.", "target") from None


def _check_secret(secret: str) -> None:
    if not sealing.NAMED.fullmatch(secret) and not formats.is_signing_secret(secret):
        raise InvalidInput(
            "A signing secret is whsec_ and 24 to 64 bytes in base64, or env:NOTICE_….", "secret"
        )


def _record(action: audit.Action, channel: Channel, actor: audit.Actor, **more: Any) -> None:
    detail = {
        "channel": channel.name,
        "kind": channel.kind,
        "to": channel.shown_target,
        "least_severity": channel.get_least_severity_display(),
        "is_active": channel.is_active,
        **more,
    }
    audit.record(audit.Fact(action, actor, outcome="ok", detail=detail))
