"""The one way into the audit trail.

`record` writes facts in the transaction of what they record and links each to the one before by
a SHA-256 hash; `docs/audit-format.md` describes the canonical form.
"""

from __future__ import annotations

import contextvars
import datetime as dt
import getpass
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from batchops.models import AuditEntry, AuditHead
from batchops.models.audit import Action
from batchops.services.audit_form import (
    GENESIS,
    Row,
    canonical_json,
    canonical_row,
    canonical_text,
    chain_hash,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
    from django.http import HttpRequest

    from batchops.models import Batch, Change

__all__ = [
    "GENESIS",
    "SYSTEM",
    "Action",
    "Actor",
    "Fact",
    "acting_request",
    "canonical",
    "canonical_json",
    "chain_hash",
    "client_ip",
    "current_actor",
    "locked_head",
    "of_command_line",
    "record",
    "record_now",
    "row_of",
    "storable_text",
]

TEXT_LIMIT: Final = 5_000
"""Characters kept of any one text."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, by name as it was then, and from where."""

    name: str
    id: int | None = None
    ip: str = ""

    @classmethod
    def of_user(cls, user: AbstractBaseUser | AnonymousUser, ip: str = "") -> Actor:
        return cls(user.get_username(), user.pk, ip)

    @classmethod
    def of_request(cls, request: HttpRequest) -> Actor:
        return cls.of_user(request.user, client_ip(request))

    @classmethod
    def of_change(cls, change: Change) -> Actor:
        """The person who asked for a change, for what workers do in their name."""
        return cls(change.requested_by_name, change.requested_by_id, change.requested_from)


SYSTEM: Final = Actor("batchops")
"""batchops itself: the schedule and the workers, where no person stands behind."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to be recorded. Only `action` and `actor` are always known."""

    action: Action | str
    actor: Actor
    outcome: str = ""
    batch_id: str = ""
    campaign_id: int | None = None
    campaign_name: str = ""
    change_id: uuid.UUID | None = None
    reason: str = ""
    reference: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    http_status: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def about_change(cls, action: Action, actor: Actor, change: Change, **more: Any) -> Fact:
        """A fact about a whole change, with its reason and reference."""
        more.setdefault("reason", change.reason)
        return cls(action, actor, change_id=change.id, reference=change.reference, **more)

    @classmethod
    def about_batch(cls, action: Action | str, actor: Actor, batch: Batch, **more: Any) -> Fact:
        """A fact about a batch, with its campaign's name as it is now."""
        return cls(
            action,
            actor,
            batch_id=batch.batch_id,
            campaign_id=batch.campaign_id,
            campaign_name=batch.campaign.campaign_name,
            **more,
        )


acting_request: contextvars.ContextVar[HttpRequest | None] = contextvars.ContextVar(
    "acting_request", default=None
)
"""The request under way, set by a middleware, for facts that are not told who asked."""


def current_actor() -> Actor:
    """Who is at work: the person of the request under way, or the account of the machine."""
    request = acting_request.get()
    if request is None:
        return of_command_line()
    return Actor.of_request(request)


def of_command_line() -> Actor:
    """The person at the command line, as the machine knows them."""
    try:
        return Actor(f"{getpass.getuser()} (command line)")
    except (KeyError, OSError):
        return Actor("command line")


def record(*facts: Fact) -> list[AuditEntry]:
    """Append facts to the trail, in the transaction under way; all or none of it is kept.

    Raises TransactionManagementError outside a transaction: a fact without what it records, or
    the other way round, must not be possible.
    """
    if not facts:
        return []
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(
            "Facts are recorded in the transaction of what they record."
        )
    head = locked_head()
    now = timezone.now()
    entries = []
    for fact in facts:
        entry = _entry(fact, head.sequence + 1, now, head.hash)
        head.sequence, head.hash = entry.sequence, entry.hash
        entries.append(entry)
    AuditEntry.objects.bulk_create(entries)
    head.save(update_fields=["sequence", "hash"])
    return entries


def record_now(*facts: Fact) -> list[AuditEntry]:
    """Append facts that stand for themselves, in a transaction of their own."""
    with transaction.atomic():
        return record(*facts)


def locked_head() -> AuditHead:
    """The end of the chain, locked until the transaction ends, so that it never forks."""
    head, _created = AuditHead.objects.select_for_update().get_or_create(pk=1)
    return head


def canonical(entry: AuditEntry) -> bytes:
    """The bytes that are hashed for an entry; the form is fixed in docs/audit-format.md."""
    return canonical_row(row_of(entry)).encode()


def row_of(entry: AuditEntry) -> Row:
    """An entry as the plain row that is hashed and exported."""
    return Row(
        sequence=entry.sequence,
        at=entry.at.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        action=entry.action,
        outcome=entry.outcome,
        actor_id=entry.actor_id,
        actor_name=entry.actor_name,
        actor_ip=entry.actor_ip,
        batch_id=entry.batch_id,
        campaign_id=entry.campaign_id,
        campaign_name=entry.campaign_name,
        change_id=str(entry.change_id) if entry.change_id else None,
        reason=entry.reason,
        reference=entry.reference,
        before=_as_text(entry.before),
        after=_as_text(entry.after),
        http_status=entry.http_status,
        detail=_as_text(entry.detail),
        previous_hash=entry.previous_hash,
        hash=entry.hash,
    )


def client_ip(request: HttpRequest) -> str:
    """The address a request came from, looking through as many proxies as are trusted."""
    hops = [request.META.get("REMOTE_ADDR", "")]
    forwarded = request.headers.get("X-Forwarded-For", "")
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()] + hops
    trusted = min(settings.TRUSTED_PROXY_COUNT, len(hops) - 1)
    return str(hops[-1 - trusted])[:45]


def _entry(fact: Fact, sequence: int, now: dt.datetime, previous_hash: str) -> AuditEntry:
    entry = AuditEntry(
        sequence=sequence,
        at=now,
        action=str(fact.action)[:64],
        outcome=fact.outcome[:32],
        actor_id=fact.actor.id,
        actor_name=storable_text(fact.actor.name, 255),
        actor_ip=fact.actor.ip[:45],
        batch_id=fact.batch_id,
        campaign_id=fact.campaign_id,
        campaign_name=storable_text(fact.campaign_name, 500),
        change_id=fact.change_id,
        reason=storable_text(fact.reason),
        reference=storable_text(fact.reference, 100),
        before=_storable(fact.before),
        after=_storable(fact.after),
        http_status=fact.http_status,
        detail=_storable(fact.detail) or {},
        previous_hash=previous_hash,
    )
    entry.hash = chain_hash(previous_hash, canonical(entry))
    return entry


def storable_text(text: str, limit: int = TEXT_LIMIT) -> str:
    """Text that both databases keep as it is: no NUL, no lone surrogates, not too long."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[:limit]


def _as_text(value: Any) -> str | None:
    return None if value is None else canonical_text(value)


def _storable(value: Any) -> Any:
    """A JSON value without floats, whose written form differs between databases."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return {storable_text(str(key), 255): _storable(inner) for key, inner in value.items()}
    if isinstance(value, Iterable):
        return [_storable(inner) for inner in value]
    return storable_text(str(value))
