"""The sign-in in its two steps: the password, and a second factor where the person has one."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from batchops import audit
from batchops.accounts import sessions, throttling
from batchops.accounts.factors import codes, factors
from batchops.accounts.models import SecondFactor
from batchops.audit import denials
from batchops.models import Action

HALF_WAY: Final = "sign_in_half_way"
"""Where the session of nobody keeps whose password was right."""
HALF_WAY_LASTS: Final = dt.timedelta(minutes=5)


class NotSignedIn(Exception):
    """The second step failed; the message says why."""


class SignInForm(AdminAuthenticationForm):
    """Holds tries back, and records the right password where these pages are not open."""

    def clean(self) -> dict[str, Any]:
        name = self.cleaned_data.get("username")
        if not name or self.request is None:
            return super().clean()
        try:
            tried = throttling.begin(self.request, name)
            with throttling.place_at_hashing(self.request, name):
                cleaned: dict[str, Any] = super().clean()
        except throttling.HeldBack as refused:
            raise ValidationError(str(refused), code="held_back") from refused
        tried.give_back()
        user = self.get_user()
        if isinstance(user, User) and factors.has_any(user):
            stop_half_way(self.request, user)
            raise ValidationError("Now your second factor.", code="half_way")
        return cleaned

    def confirm_login_allowed(self, user: Any) -> None:
        try:
            super().confirm_login_allowed(user)
        except ValidationError as refused:
            ip = audit.client_ip(self.request) if self.request else ""
            why = f"The password was right, but the account may not sign in here: {refused.code}."
            denials.record(
                audit.Fact(
                    Action.ACCOUNT_SIGN_IN_FAILED,
                    audit.Actor.of_user(user, ip),
                    outcome="denied",
                    detail={"why": why},
                )
            )
            raise


def stop_half_way(request: HttpRequest, user: User, method: str = "password") -> None:
    """Remember, in the session of nobody, who has taken the first step, and by what."""
    request.session.cycle_key()
    request.session[HALF_WAY] = {
        "user": user.pk,
        "method": method,
        "at": timezone.now().isoformat(),
        "backend": getattr(user, "backend", ""),
        "hash": user.get_session_auth_hash(),
    }


def half_way(request: HttpRequest) -> User | None:
    """Whose password was right a short time ago, as long as it still is."""
    kept = request.session.get(HALF_WAY)
    if not kept or timezone.now() > dt.datetime.fromisoformat(kept["at"]) + HALF_WAY_LASTS:
        return None
    user = User.objects.filter(pk=kept["user"], is_active=True).first()
    if user is None or not constant_time_compare(kept["hash"], user.get_session_auth_hash()):
        return None
    user.backend = kept["backend"]
    return user


def finish_with_code(request: HttpRequest, user: User, code: str) -> SecondFactor.Kind:
    """Sign in whose password was right, with a code. Raises NotSignedIn."""
    kind = prove_with_code(request, user, code)
    finish(request, user, kind)
    return kind


def prove_with_code(request: HttpRequest, user: User, code: str) -> SecondFactor.Kind:
    """Use up a code of a person. Raises NotSignedIn; tries are held back and recorded."""
    try:
        # Counted apart from passwords, and for known devices too: a code is short.
        tried = throttling.begin(request, f"{user.get_username()}\0second factor")
    except throttling.HeldBack as refused:
        raise NotSignedIn(str(refused)) from refused
    kind = codes.take(user, code)
    if kind is None:
        failed(request, user, "The first step was right, the code was not.")
        raise NotSignedIn("This code is wrong, or was used before. Enter the one shown now.")
    tried.give_back()
    return kind


def failed(request: HttpRequest, user: User, why: str) -> None:
    """Record that the second step failed."""
    actor = audit.Actor.nobody(user.get_username(), audit.client_ip(request))
    detail = {"why": why, "browser": sessions.browser_of(request)}
    denials.record(
        audit.Fact(Action.ACCOUNT_SIGN_IN_FAILED, actor, outcome="denied", detail=detail)
    )


def finish(request: HttpRequest, user: User, kind: SecondFactor.Kind) -> None:
    """Sign in who has taken the first step, and has shown a second factor."""
    first = request.session.pop(HALF_WAY, {}).get("method", "password")
    how = sessions.How(f"{first} and {str(kind.label).lower()}", kind.value)
    sessions.begin_by(request, how)
    login(request, user)
