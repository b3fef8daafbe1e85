"""Session: one browser in which a person is signed in. SecondFactor: what they have besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils import timezone
from django.utils.crypto import salted_hmac

if TYPE_CHECKING:
    from batchops.accounts.session_store import SessionStore


class Session(AbstractBaseSession):
    """A session of Django's with what its owner needs to tell it from others.

    It is over at `expire_date`, which is moved on while it is used, until the longest time.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="sessions"
    )
    address = models.CharField(max_length=45, blank=True, help_text="From where it was last used.")
    browser = models.CharField(max_length=100, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now, help_text="Last use, to the minute.")

    class Meta(AbstractBaseSession.Meta):
        default_permissions = ()
        indexes = [models.Index(fields=["user", "-seen_at"], name="session_user")]

    def __str__(self) -> str:
        return f"{self.browser or 'a browser'} at {self.address or 'no address'}"

    @classmethod
    def get_session_store_class(cls) -> type[SessionStore]:
        from batchops.accounts.session_store import SessionStore

        return SessionStore

    @property
    def handle(self) -> str:
        """Names the session on pages, where its key would open it."""
        return handle_of(self.session_key)


class SecondFactor(models.Model):
    """An authenticator app, a passkey, or one recovery code of a person."""

    class Kind(models.TextChoices):
        APP = "app", "Authenticator app"
        PASSKEY = "passkey", "Passkey"
        RECOVERY = "recovery", "Recovery code"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="second_factors"
    )
    kind = models.CharField(max_length=16, choices=Kind)
    name = models.CharField(max_length=60, blank=True, help_text="What its owner calls it.")
    secret = models.TextField(help_text="Sealed; of a recovery code a digest, of a passkey public.")
    counter = models.BigIntegerField(
        default=0, help_text="The step of the last code of an app, which counts once."
    )
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["user", "kind"], name="factor_user")]

    def __str__(self) -> str:
        return self.name or str(self.Kind(self.kind).label)


class Identity(models.Model):
    """Who a provider of single sign-on says that an account belongs to."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)
    used_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="identity_once")]

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"


def handle_of(key: str) -> str:
    """The handle of the session with a key."""
    return salted_hmac("batchops.accounts.session", key, algorithm="sha256").hexdigest()[:32]
