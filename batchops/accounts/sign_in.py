"""The form of the sign-in: tries are counted before the password is looked at."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError

from batchops import audit
from batchops.accounts import throttling
from batchops.audit import denials
from batchops.models import Action


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
