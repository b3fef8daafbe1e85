"""Whoever is about to do something weighty proves again that they are who signed in.

Asked for where a session left open would do the most harm; never before a pause, which must be
quick. The sign-in itself counts as a proof.
"""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone

from batchops import audit
from batchops.accounts import sessions, throttling
from batchops.accounts.session_store import ABOUT
from batchops.audit import denials
from batchops.models import Action


class ProofNeeded(Exception):
    """The person has not proved of late that they are who signed in; nothing was done."""


class NotProved(Exception):
    """The proof was none; the message says why."""


def require(request: HttpRequest) -> None:
    """Raise ProofNeeded unless the person has signed in, or proved it again, a short time ago."""
    proved_at = request.session.get(ABOUT, {}).get("proved_at")
    since = timezone.now() - dt.timedelta(minutes=settings.REAUTH_MINUTES)
    if not proved_at or dt.datetime.fromisoformat(proved_at) < since:
        raise ProofNeeded


def prove(request: HttpRequest, user: User, password: str) -> None:
    """Take a password as proof. Raises NotProved; tries are held back like those to sign in."""
    name, actor = user.get_username(), audit.Actor.of_request(request)
    try:
        tried = throttling.begin(request, name)
        with throttling.place_at_hashing(request, name):
            is_right = user.check_password(password)
    except throttling.HeldBack as refused:
        raise NotProved(str(refused)) from refused
    detail = {"method": "password", "browser": sessions.browser_of(request)}
    if not is_right:
        why = {**detail, "why": "The password was wrong."}
        denials.record(audit.Fact(Action.ACCOUNT_PROVED, actor, outcome="denied", detail=why))
        raise NotProved("This is not your password.")
    tried.give_back()
    now = timezone.now().isoformat()
    request.session[ABOUT] = {**request.session.get(ABOUT, {}), "proved_at": now}
    audit.record_now(audit.Fact(Action.ACCOUNT_PROVED, actor, outcome="ok", detail=detail))
