"""Django's sessions in the database, which end when they are idle, and at the latest after hours.

The row holds both limits in its `expire_date`, so nothing that reads a session can pass them by.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

from batchops.accounts.models import Session

ABOUT: Final = "sign_in"
"""Where a session keeps when and where its person signed in."""
SEEN_EVERY: Final = dt.timedelta(minutes=1)
"""How often use is written down: not once for each request."""


def end_of(started_at: dt.datetime, seen_at: dt.datetime) -> dt.datetime:
    """When a session is over that is not used again."""
    longest = started_at + dt.timedelta(seconds=settings.SESSION_COOKIE_AGE)
    return min(longest, seen_at + dt.timedelta(minutes=settings.SESSION_IDLE_MINUTES))


class SessionStore(DatabaseStore):
    """Keeps, beside the data, whose session it is, from where, and when it was last used."""

    row: Session | None = None
    """The row as it was read or written last."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def load(self) -> dict[str, Any]:
        self.row = self._get_session_from_db()  # type: ignore[attr-defined]
        return self.decode(self.row.session_data) if self.row else {}

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        about, now, known = data.get(ABOUT, {}), timezone.now(), self.row
        started_at = dt.datetime.fromisoformat(about["at"]) if about else now
        is_same = known is not None and known.started_at == started_at
        self.row = Session(
            session_key=self._get_or_create_session_key(),  # type: ignore[attr-defined]
            session_data=self.encode(data),
            expire_date=end_of(started_at, now),
            user_id=int(data[SESSION_KEY]) if SESSION_KEY in data else None,
            address=known.address if known and is_same else about.get("address", ""),
            browser=about.get("browser", ""),
            started_at=started_at,
            seen_at=now,
        )
        return self.row

    def touch(self, address: str) -> None:
        """Note that it is used, from an address; an end that has come stays."""
        row, now = self.row, timezone.now()
        if row is None or now < row.seen_at + SEEN_EVERY:
            return
        end = end_of(row.started_at, now)
        alive = Session.objects.filter(pk=row.pk, expire_date__gt=now)
        if alive.update(seen_at=now, expire_date=end, address=address):
            row.seen_at, row.expire_date = now, end

    def seconds_left(self) -> int:
        """Until it is over, when it is not used again."""
        left = self.row.expire_date - timezone.now() if self.row else dt.timedelta()
        return max(0, int(left.total_seconds()))
