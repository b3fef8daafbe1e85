"""What account the claims of a provider lead to: found by issuer and subject alone, never by mail.

Groups come from the claims at each sign-in, and go with them. Claims never make an administrator.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from batchops import audit
from batchops.accounts.models import Identity
from batchops.accounts.sso.provider import Claims


class NotWelcome(Exception):
    """Whoever the provider vouches for gets in nowhere; `account` is the one they have, if any."""

    def __init__(self, message: str, account: User | None = None) -> None:
        super().__init__(message)
        self.account = account


def account_of(claims: Claims) -> User:
    """The account with its groups as the claims say, made at the first sign-in.

    Raises NotWelcome.
    """
    identity = Identity.objects.filter(issuer=claims.issuer, subject=claims.subject).first()
    user = identity.user if identity else None
    groups = list(Group.objects.filter(name__in=_mapped(claims)))
    name = claims.name or claims.subject
    with audit.acting_as(audit.Actor.system_for_person(name, user.pk if user else None)):
        if user is not None:
            with transaction.atomic():
                user.groups.set(groups)
                _refresh(user, claims)
        if not groups:
            words = (
                "The provider knows you, but none of your groups there gives a role here. "
                f"{settings.OIDC_HELP}"
            )
            raise NotWelcome(words, user)
        if user is None:
            user = _make(claims, groups)
    if not user.is_active:
        raise NotWelcome(f"Your account here is deactivated. {settings.OIDC_HELP}", user)
    return user


def _mapped(claims: Claims) -> set[str]:
    return {ours for theirs, ours in settings.OIDC_GROUPS if theirs in claims.groups}


def _make(claims: Claims, groups: list[Group]) -> User:
    try:
        with transaction.atomic():
            user = User(username=claims.name[:150], is_staff=True)
            user.set_unusable_password()
            user.email, user.first_name, user.last_name = _person(claims)
            user.save()
            user.groups.set(groups)
            Identity.objects.create(
                user=user, issuer=claims.issuer, subject=claims.subject, used_at=timezone.now()
            )
    except ValidationError as refused:
        raise _no_account(" ".join(refused.messages)) from refused
    except IntegrityError as taken:
        found = Identity.objects.filter(issuer=claims.issuer, subject=claims.subject).first()
        if found is None:
            # Who has the name need not be who comes, so it is no key to that account.
            raise _no_account("Another account has your name.") from taken
        # Two sign-ins of the same person at the same moment: the other one made it.
        return found.user
    return user


def _no_account(why: str) -> NotWelcome:
    return NotWelcome(f"No account can be made for you: {why} {settings.OIDC_HELP}")


def _refresh(user: User, claims: Claims) -> None:
    Identity.objects.filter(issuer=claims.issuer, subject=claims.subject).update(
        used_at=timezone.now()
    )
    known = (user.email, user.first_name, user.last_name)
    if known != _person(claims):
        user.email, user.first_name, user.last_name = _person(claims)
        user.save(update_fields=["email", "first_name", "last_name"])


def _person(claims: Claims) -> tuple[str, str, str]:
    return claims.mail, claims.first_name, claims.last_name
