"""Tries to sign in are held back by name and address together, and never by name alone.

So nobody can lock an account's owner out of the emergency pause on a device that signed in before:
it has tries of its own. On a new one, others behind the same address can use the tries up, and many
who try at the same moment the places at hashing. Each try is counted before the password is looked
at, by one conditional UPDATE in the database, so that a burst over many processes cannot slip by.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone

from batchops import audit, proxies
from batchops.accounts import devices
from batchops.audit import denials
from batchops.models import Action, Quota
from batchops.services import quotas

SPAN: Final = dt.timedelta(minutes=15)
TRIES: Final = 5
"""For one name from one address within a span."""
TRIES_OF_DEVICE: Final = 10
"""For one name from a device that has signed in with it before."""
TRIES_UNDER_SIEGE: Final = 1
"""For one name from one address, while more is tried than people mistype."""
SIEGE_OF_NAME: Final = 50
SIEGE_OF_SITE: Final = 500
"""Tries from unknown devices within a span that count as a siege."""
HASHING_MOST: Final = 4
"""Tries from unknown devices that one process lets wait for the single place at hashing."""

_waiting = threading.BoundedSemaphore(HASHING_MOST)
_hashing = threading.Lock()


class HeldBack(Exception):
    """No try is left for now; the message says until when."""


@dataclass(frozen=True, slots=True)
class Try:
    """One try that was counted; it is given back when the person proved to be themselves."""

    key: str
    totals: tuple[str, ...]

    def give_back(self) -> None:
        Quota.objects.filter(pk=self.key).update(used=0)
        Quota.objects.filter(pk__in=self.totals, used__gt=0).update(used=F("used") - 1)


def begin(request: HttpRequest, name: str) -> Try:
    """Count a try to prove to be the account of a name. Raises HeldBack."""
    device = devices.of(request)
    whose = devices.digest(name)
    if device.knows(name):
        totals: tuple[str, ...] = ()
        key, most = f"sign-in:device:{devices.digest(device.id, name)}", TRIES_OF_DEVICE
    else:
        totals = (f"sign-in:name:{whose}", "sign-in:site")
        key = f"sign-in:{devices.digest(name, _network(request))}"
        calm = [
            quotas.take(total, most, SPAN)
            for total, most in zip(totals, (SIEGE_OF_NAME, SIEGE_OF_SITE), strict=True)
        ]
        most = TRIES if all(calm) else TRIES_UNDER_SIEGE
    if quotas.take(key, most, SPAN):
        return Try(key, totals)
    row = Quota.objects.filter(pk=key).first()
    left = (row.until - timezone.now()).total_seconds() if row else 0
    minutes = max(1, round(left / 60))
    _record(request, name, key, minutes)
    raise HeldBack(
        f"Too many tries with this name from your network. Wait {minutes} "
        f"minute{'s' if minutes > 1 else ''}, or sign in on a device that you have used before."
    )


@contextlib.contextmanager
def place_at_hashing(request: HttpRequest, name: str) -> Iterator[None]:
    """Let unknown devices check one password at a time, so that pages stay quick for all others.

    Raises HeldBack where too many wait already.
    """
    if devices.of(request).knows(name):
        yield
        return
    if not _waiting.acquire(blocking=False):
        raise HeldBack("Many are signing in at this moment. Try again in a few seconds.")
    try:
        with _hashing:
            yield
    finally:
        _waiting.release()


def _network(request: HttpRequest) -> str:
    """The address, or the network of one customer where addresses are plenty (IPv6)."""
    address = proxies.client_address(request)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network(f"{address}/64", strict=False))
    return str(address or "")


def _record(request: HttpRequest, name: str, key: str, minutes: int) -> None:
    """One entry when the tries run out; what follows in the same span is only counted."""
    actor = audit.Actor.nobody(denials.name_tried(name), audit.client_ip(request))
    why = f"Too many tries: held back for {minutes} min; the password was not looked at."
    fact = audit.Fact(
        Action.ACCOUNT_SIGN_IN_HELD_BACK, actor, outcome="denied", detail={"why": why}
    )
    denials.record(fact, is_told=not quotas.take(f"{key}:told", 1, SPAN))
