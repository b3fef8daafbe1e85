"""Sign-ins and failed sign-ins, as facts of the trail."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from batchops.models import Action
from batchops.services.audit import Actor, Fact, client_ip, record_now


@receiver(user_logged_in)
def record_sign_in(request: HttpRequest, user: User, **_: Any) -> None:
    record_now(Fact(Action.ACCOUNT_SIGNED_IN, Actor.of_user(user, _ip(request)), outcome="ok"))


@receiver(user_logged_out)
def record_sign_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        record_now(Fact(Action.ACCOUNT_SIGNED_OUT, Actor.of_user(user, _ip(request))))


@receiver(user_login_failed)
def record_failed_sign_in(
    credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any
) -> None:
    name = str(credentials.get("username") or "")
    record_now(
        Fact(Action.ACCOUNT_SIGN_IN_FAILED, Actor(name, ip=_ip(request)), outcome="denied")
    )


def _ip(request: HttpRequest | None) -> str:
    return client_ip(request) if request is not None else ""
