"""Denied tries: each is recorded, and what comes in a burst is summed up in one entry.

A denial is recorded outside of what it denied, which may be rolled back.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from batchops import audit
from batchops.models import DeniedTries
from batchops.models.audit import Action

if TYPE_CHECKING:
    from django.http import HttpRequest

SPAN: Final = dt.timedelta(minutes=1)
NAMED_MOST: Final = 50
"""Kinds of tries that a sum names; the others are counted together."""
THE_OTHERS: Final = "others"


def record(fact: audit.Fact, is_told: bool = False) -> None:
    """Record a denied try; beyond `DENIALS_PER_MINUTE` it is counted, and summed up later.

    So is one whose like `is_told` already.
    """
    now = timezone.now()
    with transaction.atomic():
        tries, _ = DeniedTries.objects.select_for_update(no_key=True).get_or_create(
            whose=_whose(fact.actor), defaults={"since": now}
        )
        if not tries.since <= now < tries.since + SPAN:
            _sum_up(tries)
            tries.since = now
        if not is_told and tries.recorded < settings.DENIALS_PER_MINUTE:
            tries.recorded += 1
            audit.record(fact)
        else:
            _count(tries, fact)
        tries.save()


def record_request(request: HttpRequest, why: str = "") -> None:
    """Record that a page or a button was refused to whoever asked for it."""
    detail = {"method": request.method or "", "path": request.path[:500]}
    if why:
        detail["why"] = why
    actor = audit.Actor.of_request(request)
    record(audit.Fact(Action.ACCESS_DENIED, actor, outcome="denied", detail=detail))


def name_tried(name: str) -> str:
    """The account's name; what is no account's name may be a password, and is not kept."""
    if User.objects.filter(username=name.replace("\0", "")).exists():
        return name
    return f"no account {_digest(name)}" if name else ""


def _digest(name: str) -> str:
    """Tells the same text again, and says nothing of it to whoever has not the secret key."""
    text = name.encode("utf-8", "replace")
    return salted_hmac("batchops.sign_in", text, algorithm="sha256").hexdigest()[:12]


def sum_up_due() -> None:
    """Put into one entry each what was only counted, and forget what is over."""
    for tries in DeniedTries.objects.filter(since__lte=timezone.now() - SPAN):
        with transaction.atomic():
            locked = DeniedTries.objects.select_for_update(no_key=True).filter(
                pk=tries.pk, since=tries.since
            )
            for one in locked:
                _sum_up(one)
                one.delete()


def is_in_transaction() -> bool:
    """Whether what is done now may still be rolled back; a test's own transaction is none."""
    blocks = connection.atomic_blocks
    return bool(blocks) and not getattr(blocks[-1], "_from_testcase", False)


def _whose(actor: audit.Actor) -> str:
    return f"account {actor.id}" if actor.id is not None else str(actor.kind)


def _count(tries: DeniedTries, fact: audit.Fact) -> None:
    words = f"{fact.actor.name} from {fact.actor.ip or 'the command line'}: {fact.action}"
    if words not in tries.by and len(tries.by) >= NAMED_MOST:
        words = THE_OTHERS
    tries.by[words] = tries.by.get(words, 0) + 1
    tries.summed_up += 1


def _sum_up(tries: DeniedTries) -> None:
    if tries.summed_up:
        audit.record(
            audit.Fact(
                Action.ACCESS_DENIALS_SUMMED_UP,
                audit.SYSTEM,
                outcome="denied",
                detail={
                    "why": f"{tries.summed_up:,} more tries were denied within a minute.",
                    "tries": tries.summed_up,
                    "since": tries.since.isoformat(),
                    "by": tries.by,
                },
            )
        )
    tries.recorded, tries.summed_up, tries.by = 0, 0, {}
