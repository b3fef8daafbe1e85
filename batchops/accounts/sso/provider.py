"""The provider: the way there and back, and the claims that it vouches for.

Authlib checks state, nonce, PKCE, signature, audience and times; what it leaves open is checked
here.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from typing import Any, Final

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.django_client import OAuth
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from joserfc.errors import JoseError

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 10
CLOCK_LEEWAY_SECONDS: Final = 300
"""By so much the provider's clock may differ from ours."""
MULTI_FACTOR: Final = "mfa"
"""What `amr` holds where the provider asked for more than one factor (RFC 8176)."""
TEXT_LIMIT: Final = 255


class ProviderFailed(Exception):
    """The sign-in at the provider came to nothing; the message says why, in words for people."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What the provider vouches for."""

    issuer: str
    subject: str
    name: str
    mail: str
    first_name: str
    last_name: str
    groups: frozenset[str]
    had_second_factor: bool
    proved_at: dt.datetime | None
    """When the person proved to the provider who they are; None where it does not say."""


def is_set_up() -> bool:
    return bool(settings.OIDC_ISSUER)


def begin(request: HttpRequest, back_to: str, anew: bool) -> HttpResponse:
    """Send a person to the provider; `anew` asks it not to rely on an earlier sign-in.

    Raises ProviderFailed.
    """
    more: dict[str, Any] = {"prompt": "login", "max_age": 0} if anew else {}
    with _explained("begin"):
        client = _client()
        answer: HttpResponse = client.authorize_redirect(request, back_to, **more)
    return answer


def finish(request: HttpRequest) -> Claims:
    """What the provider says of the person who comes back. Raises ProviderFailed."""
    with _explained("finish"):
        token = _client().authorize_access_token(request, leeway=CLOCK_LEEWAY_SECONDS)
    found = token.get("userinfo")
    if not found or not _text(found, "sub"):
        raise ProviderFailed("The provider did not say who you are.")
    return _claims(found)


def _client() -> Any:
    """A client with the provider's settings as they are now, its keys among them."""
    client = OAuth().register(
        "provider",
        client_id=settings.OIDC_CLIENT_ID,
        client_secret=settings.OIDC_CLIENT_SECRET,
        server_metadata_url=f"{settings.OIDC_ISSUER.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": " ".join(settings.OIDC_SCOPES),
            "code_challenge_method": "S256",
            "default_timeout": TIMEOUT_SECONDS,
        },
    )
    issuer = client.load_server_metadata().get("issuer")
    if issuer != settings.OIDC_ISSUER:
        raise ProviderFailed("Another provider answered than the one that batchops is set up for.")
    return client


class _explained:
    """Turns what goes wrong at the provider into words, and leaves the rest to the log."""

    def __init__(self, step: str) -> None:
        self.step = step

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, ProviderFailed) or not isinstance(error, Exception):
            return
        logger.warning("Single sign-on failed (%s): %s: %s", self.step, kind.__name__, error)
        if isinstance(error, requests.RequestException):
            words = "The provider cannot be reached, or does not answer as it should."
        elif getattr(error, "error", "") == "access_denied":
            words = "The provider did not let you in, or you stopped there."
        elif isinstance(error, AuthlibBaseError | JoseError | ValueError | KeyError | RuntimeError):
            words = (
                "What came back from the provider is not valid here, or is too old. Start again."
            )
        else:
            return
        raise ProviderFailed(words) from error


def _claims(found: dict[str, Any]) -> Claims:
    groups = found.get(settings.OIDC_GROUPS_CLAIM) or ()
    # Some providers give a single group as a text.
    groups = [groups] if isinstance(groups, str) else groups
    methods = found.get("amr")
    at = found.get("auth_time")
    is_time = isinstance(at, int) and 0 < at <= timezone.now().timestamp() + CLOCK_LEEWAY_SECONDS
    return Claims(
        issuer=settings.OIDC_ISSUER,
        subject=found["sub"],
        name=_text(found, "preferred_username") or _text(found, "email"),
        mail=_text(found, "email"),
        first_name=_text(found, "given_name")[:150],
        last_name=_text(found, "family_name")[:150],
        groups=frozenset(one for one in groups if isinstance(one, str))
        if isinstance(groups, list)
        else frozenset(),
        had_second_factor=isinstance(methods, list) and MULTI_FACTOR in methods,
        proved_at=dt.datetime.fromtimestamp(int(at), dt.UTC) if is_time and at else None,
    )


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    # PostgreSQL takes no NUL in a text.
    if not isinstance(value, str) or len(value) > TEXT_LIMIT or "\0" in value:
        return ""
    return value
