"""Sessions of people: begun at the sign-in, listed, and ended by them, by others, or by time.

Whoever ends one leaves an entry in the audit trail, in the same transaction.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from batchops import audit
from batchops.accounts import browsers
from batchops.accounts.models import Session
from batchops.accounts.session_store import ABOUT, SessionStore
from batchops.models import Action

SLICE: Final = 200
"""Sessions whose time is over that are ended in one transaction."""


@dataclass(frozen=True, slots=True)
class How:
    """By what a person signs in: in words, and the kind of second factor, where there was one."""

    method: str = "password"
    factor: str = ""
    proved_at: str | None = None
    """When the provider saw a proof, in ISO form; empty: it does not say. None: just now."""


def begin_by(request: HttpRequest, how: How) -> None:
    """Say by what the person signs in whose session is about to begin."""
    request.sign_in_how = how  # type: ignore[attr-defined]


def begin(request: HttpRequest) -> None:
    """Note in the session when, where and how its person has signed in."""
    how: How = getattr(request, "sign_in_how", How())
    now = timezone.now().isoformat()
    request.session[ABOUT] = {
        "at": now,
        "proved_at": now if how.proved_at is None else how.proved_at,
        "address": audit.client_ip(request),
        "browser": browser_of(request),
        "method": how.method,
        "factor": how.factor,
    }


def browser_of(request: HttpRequest) -> str:
    """What the browser of a request says it is."""
    return browsers.describe(request.META.get("HTTP_USER_AGENT", ""))


def method_of(request: HttpRequest) -> str:
    """How the person of a request has signed in; empty where that is not known."""
    return str(request.session.get(ABOUT, {}).get("method", ""))


def note_factor(request: HttpRequest, kind: str) -> None:
    """Note that the person of a session has shown that they have a second factor."""
    request.session[ABOUT] = {**request.session.get(ABOUT, {}), "factor": kind}


def has_factor(request: HttpRequest) -> bool:
    """Whether the person of a session has shown a second factor in it."""
    return bool(request.session.get(ABOUT, {}).get("factor"))


def note_use(request: HttpRequest) -> None:
    """Move on the end of a session that a person uses; what a page asks by itself is no use."""
    by_script = request.method == "GET" and request.headers.get("Sec-Fetch-Dest") == "empty"
    if (
        request.user.is_authenticated
        and not by_script
        and isinstance(_store(request), SessionStore)
    ):
        _store(request).touch(audit.client_ip(request))


def seconds_left(request: HttpRequest) -> int:
    """Until the session of a request is over, when it is not used again."""
    return _store(request).seconds_left()


def of_user(user: User) -> QuerySet[Session]:
    """The sessions of a person that are not over, the one used last first."""
    return Session.objects.filter(user=user, expire_date__gt=timezone.now()).order_by("-seen_at")


def end(user: User, handle: str, *, actor: audit.Actor, why: str) -> bool:
    """End the session that a handle names, if it is there and the person's."""
    found = next((one for one in of_user(user) if one.handle == handle), None)
    return bool(found and _end(user, Session.objects.filter(pk=found.pk), actor, why))


def end_all(user: User, *, actor: audit.Actor, why: str, spared: str | None = None) -> int:
    """End all sessions of a person but the one whose key is spared; returns how many."""
    return _end(user, Session.objects.filter(user=user).exclude(pk=spared or ""), actor, why)


def end_due() -> None:
    """End the sessions whose time is over, so that the trail says when and why."""
    now = timezone.now()
    due = Session.objects.filter(expire_date__lte=now).select_related("user").order_by("pk")
    while over := list(due[:SLICE]):
        with transaction.atomic():
            gone = [one for one in over if _delete_if_over(one, now)]
            audit.record(*(_of_time(one, one.user) for one in gone if one.user is not None))


def _delete_if_over(session: Session, now: dt.datetime) -> bool:
    deleted, _ = Session.objects.filter(pk=session.pk, expire_date__lte=now).delete()
    return bool(deleted)


def _of_time(session: Session, user: User) -> audit.Fact:
    longest = session.started_at + dt.timedelta(seconds=settings.SESSION_COOKIE_AGE)
    too_long = session.expire_date >= longest
    why = "the longest time was over" if too_long else "it was not used"
    return audit.Fact(
        Action.ACCOUNT_SESSION_ENDED,
        audit.Actor.system_for_person(user.get_username(), user.pk),
        outcome="ok",
        detail=_about(user, [session], why),
    )


def _end(user: User, which: QuerySet[Session], actor: audit.Actor, why: str) -> int:
    with transaction.atomic():
        ended = list(which)
        if not ended:
            return 0
        which.filter(pk__in=[one.pk for one in ended]).delete()
        # One whose time is over is no news: it ended by itself.
        alive = [one for one in ended if one.expire_date > timezone.now()]
        if alive:
            detail = _about(user, alive, why)
            audit.record(
                audit.Fact(Action.ACCOUNT_SESSION_ENDED, actor, outcome="ok", detail=detail)
            )
    return len(alive)


def _about(user: User, ended: list[Session], why: str) -> dict[str, Any]:
    return {
        "account": user.get_username(),
        "account_id": user.pk,
        "why": why,
        "ended": [str(one) for one in ended],
    }


def _store(request: HttpRequest) -> SessionStore:
    store: Any = request.session
    return store  # type: ignore[no-any-return]
