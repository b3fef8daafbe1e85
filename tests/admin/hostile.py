"""A vendor whose every text is an attack, and what a page must not do with it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any, Final

from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from batchops import audit
from batchops.models import AuditEntry, Batch, Change, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import drafts, lifecycle
from batchops.services.mirror import sync
from batchops.services.push import driver
from batchops.services.runs import read_back
from batchops.syllable.patch import BatchPatch

ATTACK: Final = """"'><evil-tag onerror=alert(1)><script>evil()</script>&amp;{{ 7|add:7 }}"""
LONG: Final = ATTACK + "\N{FIRE}wide " * 700
RIGHT_TO_LEFT: Final = "\N{RIGHT-TO-LEFT OVERRIDE}gnp.tluser"
HOSTILE_IDS: Final = (
    "a/b?c#d%e&f<g>h\"i'j",
    "<script>evil()</script>",
    " spaces around ",
    f"{RIGHT_TO_LEFT}",
    "\N{PILE OF POO}\N{ZERO WIDTH JOINER}\N{FIRE}",
    "x" * 255,
    "..",
    ".",
    "../..",
    "_2F_5F",
    "add",
    "paste",
    "counts/change",
    "-1",
    "None",
    "%2e%2e%00",
    "two\ttabs",
    "two\nlines",
)
EXPIRIES: Final = (
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999+00:00",
    "0001-01-01T00:00:00Z",
    "1900-01-01T00:00:00+14:00",
    "2027-01-01T00:00:00-12:34",
    "9999-12-31T10:00:00-05:00",
    "0001-01-01T10:00:00+10:00",
    None,
)
HUGE: Final = 2**63 - 1


def hostile_world(sandbox: EmbeddedSandbox) -> None:
    """Batches and campaigns with every oddity, in the mirror by a sync."""
    for number in (1, -7, HUGE, 0):
        sandbox.add_campaign(
            id=number,
            campaign_name=ATTACK if number else "",
            description=LONG,
            mode=ATTACK,
            labels=(ATTACK, "", RIGHT_TO_LEFT),
            hourly_rate=2**31 - 1,
            daily_start_time="25:99",
            daily_end_time=ATTACK,
            active_days=(ATTACK, "mon"),
            max_daily_calls=HUGE,
            outreach_override_rules={"days": {ATTACK: {}}} if number else {"days": {"mon": {}}},
            last_updated_by=ATTACK,
        )
    for place, batch_id in enumerate(HOSTILE_IDS):
        sandbox.add_batch(**_odd(place), batch_id=batch_id)
    for place, expires_on in enumerate(EXPIRIES):
        sandbox.add_batch(**_odd(place) | {"expires_on": expires_on}, batch_id=f"expiry-{place}")
        sandbox.add_batch(batch_id=f"live-{place}", expires_on=expires_on, auto_call_rate=False)
    sync.run_sync(SyncRun.Kind.FULL)


def _odd(place: int) -> dict[str, Any]:
    """The fields of a batch, another oddity for each place."""
    moment = ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", None)[place % 3]
    return {
        "campaign_id": (1, -7, HUGE, 0, 424242)[place % 5],
        "paused": (None, True, False)[place % 3],
        "call_rate": (0, 2**31 - 1, None, -5)[place % 4],
        "auto_call_rate": (False, True, None)[place % 3],
        "auto_call_rate_baseline": (1e308, -0.0, None)[place % 3],
        "status": ("ACTIVE", ATTACK, "", "NEW_STATUS", "FAILED")[place % 5],
        "expires_on": EXPIRIES[place % len(EXPIRIES)],
        "created_at": moment or "2026-01-01T00:00:00Z",
        "last_updated_at": moment,
        "deleted_at": moment if place % 4 == 3 else None,
        "deleted_reason": ATTACK,
        "upload_filename": LONG,
        "dispatch_id": ATTACK,
        "error_message": LONG,
        "last_updated_by": ATTACK,
    }


def hostile_past(sandbox: EmbeddedSandbox, person: User) -> None:
    """Changes that ran over the hostile world, a draft, a failed sign-in, an outside change."""
    Group.objects.create(name=ATTACK[:150])
    Client().post(reverse("admin:login"), {"username": ATTACK, "password": "wrong"})
    actor = audit.Actor.of_user(person, "192.0.2.7")
    for patch in (BatchPatch(paused=True), BatchPatch(call_rate=7), None):
        change = drafts.draft(
            Batch.objects.all(),
            patch or BatchPatch(paused=False),
            user=person,
            actor=actor,
            source=Change.Source.ACTION,
            selection=ATTACK,
        )
        if patch is None:
            continue
        acting = change.items.filter(plan="act").count()
        confirmed = lifecycle.confirm(
            change,
            user=person,
            actor=actor,
            reason=ATTACK,
            reference=ATTACK,
            typed_count=acting,
        )
        driver.drive()
        confirmed.refresh_from_db()
        read_back.read_back(confirmed)
    sandbox.edit_batch(HOSTILE_IDS[0], paused=False, error_message=ATTACK, last_updated_by=ATTACK)
    sandbox.vanish("live-1")
    sync.run_sync(SyncRun.Kind.FULL)
    assert AuditEntry.objects.count() > 10


class Reading(HTMLParser):
    """What a browser would make of a page: its links, and elements that have no business there."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: set[str] = set()
        self.intruders: list[str] = []
        self.feed(page)
        self.close()
        self.intruders += re.findall(r"&amp;lt;evil-tag|&amp;quot;", page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        inline = tag in ("script", "style") and not attributes.get("src")
        data = attributes.get("type") == "application/json"
        if tag == "evil-tag" or (inline and not data):
            self.intruders.append(self.get_starttag_text() or tag)
        if any(name.startswith("on") or name == "style" for name in attributes):
            self.intruders.append(self.get_starttag_text() or tag)
        for name in ("href", "data-address", "src"):
            if address := attributes.get(name):
                self.links.add(address)
