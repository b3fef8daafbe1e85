"""Who needs a second factor, and how one is added, removed and reset: each leaves an entry."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from batchops import audit
from batchops.accounts import sessions
from batchops.accounts.factors import codes, sealing
from batchops.accounts.models import SecondFactor
from batchops.models import Action

NOBODY: Final = "nobody"
CHANGERS: Final = "changers"
EVERYONE: Final = "everyone"
ADDED: Final = "A second factor was added."
MOST: Final = 10
"""Second factors of one person, besides recovery codes."""
NAME_LIMIT: Final = 60


class Refused(Exception):
    """What was asked for cannot be done; the message says why."""


def is_required(user: User) -> bool:
    """Whether `MFA_REQUIRED_FOR` asks a second factor of a person."""
    rule = settings.MFA_REQUIRED_FOR
    if rule in ([NOBODY], [EVERYONE]):
        return bool(rule == [EVERYONE])
    if rule == [CHANGERS]:
        held = user.get_all_permissions()
        return any(not name.partition(".")[2].startswith("view_") for name in held)
    return user.is_superuser or user.groups.filter(name__in=rule).exists()


def of_user(user: User) -> QuerySet[SecondFactor]:
    """A person's second factors, oldest first, without the recovery codes."""
    own = SecondFactor.objects.filter(user=user).exclude(kind=SecondFactor.Kind.RECOVERY)
    return own.order_by("pk")


def has_any(user: User) -> bool:
    return of_user(user).exists()


def add_app(
    user: User, secret: str, code: str, name: str, *, actor: audit.Actor, spared: str | None
) -> list[str]:
    """Add an authenticator app that shows the right code; returns recovery codes with the first.

    Other sessions end, since they were begun without it. Raises Refused.
    """
    step = codes.step_of(secret, code)
    if not step:
        raise Refused("This is not the code that the app shows for this key at this moment.")
    factor = SecondFactor(
        user=user, kind=SecondFactor.Kind.APP, secret=sealing.seal(secret), counter=step
    )
    return add(factor, name, actor=actor, spared=spared)


def add(factor: SecondFactor, name: str, *, actor: audit.Actor, spared: str | None) -> list[str]:
    """Add a second factor that was proved to work; returns recovery codes with the first."""
    user = factor.user
    factor.name = name.strip()[:NAME_LIMIT]
    with transaction.atomic():
        if of_user(user).count() >= MOST:
            raise Refused(f"You have {MOST} second factors, which is the most. Remove one first.")
        is_first = not has_any(user)
        factor.save()
        written = codes.write_recovery_codes(user) if is_first else []
        _record(Action.ACCOUNT_FACTOR_ADDED, user, actor, _words(factor))
        sessions.end_all(user, actor=actor, why=ADDED, spared=spared)
    return written


def renew_recovery_codes(user: User, *, actor: audit.Actor) -> list[str]:
    """Replace the recovery codes. Raises Refused for whoever has no second factor."""
    with transaction.atomic():
        if not has_any(user):
            raise Refused("Recovery codes stand in for a second factor. Add one first.")
        written = codes.write_recovery_codes(user)
        _record(Action.ACCOUNT_FACTOR_ADDED, user, actor, "new recovery codes")
    return written


def remove(user: User, pk: int, *, actor: audit.Actor) -> None:
    """Remove one of a person's second factors. Raises Refused for the last one that they need."""
    with transaction.atomic():
        own = list(of_user(user))
        factor = next((one for one in own if one.pk == pk), None)
        if factor is None:
            raise Refused("This second factor is gone already.")
        if len(own) == 1 and is_required(user):
            raise Refused("Your role needs a second factor. Add another one before.")
        factor.delete()
        if len(own) == 1:
            SecondFactor.objects.filter(user=user).delete()
        _record(Action.ACCOUNT_FACTOR_REMOVED, user, actor, _words(factor))


def reset(user: User, *, actor: audit.Actor, why: str) -> int:
    """Remove all second factors of a person who lost them, and end their sessions.

    Returns how many there were.
    """
    with transaction.atomic():
        gone = [_words(factor) for factor in of_user(user)]
        SecondFactor.objects.filter(user=user).delete()
        if gone:
            _record(Action.ACCOUNT_FACTOR_REMOVED, user, actor, ", ".join(gone), why)
            sessions.end_all(user, actor=actor, why="Its second factor was reset.")
    return len(gone)


def _words(factor: SecondFactor) -> str:
    label = str(SecondFactor.Kind(factor.kind).label).lower()
    return f"{label} “{factor.name}”" if factor.name else label


def _record(action: Action, user: User, actor: audit.Actor, what: str, why: str = "") -> None:
    detail = {"account": user.get_username(), "account_id": user.pk, "factor": what}
    if why:
        detail["why"] = why
    audit.record(audit.Fact(action, actor, outcome="ok", detail=detail))
