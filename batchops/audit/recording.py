"""The one way into the audit trail.

`record` writes facts in the transaction of what they record and links each to the one before by
a SHA-256 hash; `docs/audit-format.md` describes the canonical form.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime as dt
import getpass
import os
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction
from django.utils import timezone

from batchops import proxies
from batchops.audit.canonical_form import (
    GENESIS,
    Row,
    canonical_json,
    canonical_row,
    canonical_text,
    chain_hash,
)
from batchops.models import AuditEntry, AuditHead
from batchops.models.audit import Action, ActorKind

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
    from django.http import HttpRequest

    from batchops.models import Batch, Change

__all__ = [
    "GENESIS",
    "SYSTEM",
    "VENDOR",
    "Action",
    "Actor",
    "ActorKind",
    "Fact",
    "acting_as",
    "acting_request",
    "at_terminal",
    "canonical",
    "canonical_json",
    "chain_hash",
    "client_ip",
    "current_actor",
    "locked_head",
    "machine_account",
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
    """Who did it, by name as it was then, what kind of actor that is, and from where."""

    name: str
    id: int | None = None
    ip: str = ""
    kind: ActorKind = ActorKind.PERSON
    on_behalf_of_name: str = ""
    on_behalf_of_id: int | None = None

    @classmethod
    def of_user(cls, user: AbstractBaseUser | AnonymousUser, ip: str = "") -> Actor:
        kind = ActorKind.PERSON if user.is_authenticated else ActorKind.NOBODY
        return cls(user.get_username(), user.pk, ip, kind)

    @classmethod
    def nobody(cls, name: str, ip: str = "") -> Actor:
        """Whoever is not signed in, by the name that they gave, which proves nothing."""
        return cls(name, ip=ip, kind=ActorKind.NOBODY)

    @classmethod
    def of_request(cls, request: HttpRequest) -> Actor:
        return cls.of_user(request.user, client_ip(request))

    @classmethod
    def system_for(cls, change: Change) -> Actor:
        """batchops itself, for whoever answers for a change: what workers and the schedule do."""
        return cls.system_for_person(change.responsible_name, change.responsible_id)

    @classmethod
    def system_for_person(cls, name: str, id: int | None) -> Actor:
        """batchops itself, for a person by their name as it was then."""
        return cls(SYSTEM.name, kind=ActorKind.SYSTEM, on_behalf_of_name=name, on_behalf_of_id=id)

    @classmethod
    def outside(cls, name: str) -> Actor:
        """Whoever the vendor names: its console, its own client, or another key."""
        return cls(name, kind=ActorKind.OUTSIDE)


SYSTEM: Final = Actor("batchops", kind=ActorKind.SYSTEM)
"""batchops itself: the schedule and the workers, where no person stands behind."""
VENDOR: Final = Actor.outside("vendor")
"""The vendor itself, where it names nobody."""


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


_acting_as: contextvars.ContextVar[Actor | None] = contextvars.ContextVar("acting_as", default=None)


@contextlib.contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Within it, facts that are not told who acted name this actor."""
    token = _acting_as.set(actor)
    try:
        yield
    finally:
        _acting_as.reset(token)


def current_actor() -> Actor:
    """Who is at work: the person of the request under way, or the account of the machine."""
    if (actor := _acting_as.get()) is not None:
        return actor
    request = acting_request.get()
    if request is None:
        return of_command_line()
    return Actor.of_request(request)


def of_command_line() -> Actor:
    """Whoever is at the command line and named no account of batchops."""
    return Actor("command line", kind=ActorKind.COMMAND_LINE)


_operated_by: contextvars.ContextVar[str] = contextvars.ContextVar("operated_by", default="")


@contextlib.contextmanager
def at_terminal() -> Iterator[None]:
    """Within it, each entry says which account of the machine gave the command, and where."""
    token = _operated_by.set(machine_account())
    try:
        yield
    finally:
        _operated_by.reset(token)


def machine_account() -> str:
    """The operating system's account and host, such as "root@host (sudo by anna)".

    The account is the kernel's; who is behind `sudo` is what `sudo` says.
    """
    sudo = os.environ.get("SUDO_USER", "")
    behind = f" (sudo by {sudo})" if sudo else ""
    return f"{_account_name()}@{socket.gethostname()}{behind}"


def _account_name() -> str:
    try:
        import pwd
    except ImportError:
        # Not a Unix.
        return getpass.getuser()
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"account {number}"


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
    head, _created = AuditHead.objects.select_for_update(no_key=True).get_or_create(pk=1)
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
        actor_kind=entry.actor_kind,
        on_behalf_of_id=entry.on_behalf_of_id,
        on_behalf_of_name=entry.on_behalf_of_name,
        operated_by=entry.operated_by,
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
    """The address a request came from, looking through trusted proxies; empty: it has none."""
    return str(proxies.client_address(request) or "")


def _entry(fact: Fact, sequence: int, now: dt.datetime, previous_hash: str) -> AuditEntry:
    entry = AuditEntry(
        sequence=sequence,
        at=now,
        action=str(fact.action)[:64],
        outcome=fact.outcome[:32],
        actor_id=fact.actor.id,
        actor_name=storable_text(fact.actor.name, 255),
        actor_ip=fact.actor.ip[:45],
        actor_kind=str(fact.actor.kind),
        on_behalf_of_id=fact.actor.on_behalf_of_id,
        on_behalf_of_name=storable_text(fact.actor.on_behalf_of_name, 255),
        operated_by=storable_text(_operator(fact.actor), 255),
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


def _operator(actor: Actor) -> str:
    """The machine's account behind an entry; commands of Django's own are seen by their actor."""
    by_command = actor.kind == ActorKind.COMMAND_LINE
    return _operated_by.get() or (machine_account() if by_command else "")


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
