"""Every page stands a vendor whose texts, ids and dates are hostile, for every role and zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urljoin, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver, reverse
from django.urls.resolvers import URLPattern, URLResolver

from batchops.models import Batch
from batchops.sandbox.embedded import EmbeddedSandbox
from tests.admin import hostile
from tests.admin.crawling import crawl, text_of

pytestmark = pytest.mark.django_db(transaction=True)

ROLES: Final = {
    "Operator": "Pacific/Kiritimati",
    "Approver": "America/Los_Angeles",
    "Auditor": "Pacific/Kiritimati",
    "Viewer": "UTC",
}
"""Each role with the zone of its reader."""
EXPECTED: Final = (200, 301, 302, 400, 403, 404, 405)


def addresses_of_the_resolver() -> Iterator[str]:
    """Every address of the site, with 7 for each value."""

    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[str]:
        for pattern in patterns:
            route = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, route)
            else:
                yield "/" + re.sub(r"\(.*?\)|<[^>]*>|\\Z|[\^$]", _value, route)

    yield from walk(get_resolver().url_patterns, "")


def _value(part: re.Match[str]) -> str:
    return "7" if part[0][0] in "(<" else ""


def all_stand(client: Client, reader: User, zone: str, questions: int) -> None:
    """Visit every page as a reader, who meets no fault, no dead link and nothing of the vendor."""
    client.force_login(reader)
    client.cookies["time_zone"] = zone
    client.raise_request_exception = False
    pages, problems = 0, []
    for address, response, reading, linked_from in crawl(
        client, addresses_of_the_resolver(), questions
    ):
        pages += 1
        leads_nowhere = response.status_code == 404 and linked_from
        assert not leads_nowhere, f"{linked_from} leads to {address}"
        if response.status_code not in EXPECTED:
            problems.append(
                f"{address}: {response.status_code} {getattr(response, 'exc_info', '')}"
            )
        problems += [f"{address}: {one}" for one in reading.intruders]
    assert not problems, "\n".join(problems)
    assert pages > 60


@pytest.mark.usefixtures("running_worker")
def test_every_page_stands_a_hostile_vendor(
    sandbox: EmbeddedSandbox, operator: User, administrator: User, client: Client
) -> None:
    hostile.hostile_world(sandbox)
    hostile.hostile_past(sandbox, operator)
    all_stand(client, administrator, "America/Los_Angeles", questions=2)


@pytest.mark.once  # The administrator sees every page on either database.
@pytest.mark.usefixtures("running_worker")
def test_every_page_stands_a_hostile_vendor_for_every_role(
    sandbox: EmbeddedSandbox, operator: User, make_person: Callable[..., User], client: Client
) -> None:
    hostile.hostile_world(sandbox)
    hostile.hostile_past(sandbox, operator)
    for role, zone in ROLES.items():
        reader = operator if role == "Operator" else make_person(role.lower(), role)
        all_stand(client, reader, zone, questions=1)


def test_every_batch_can_be_opened_whatever_its_id(
    sandbox: EmbeddedSandbox, operator: User, client: Client
) -> None:
    hostile.hostile_world(sandbox)
    client.force_login(operator)
    page = client.get(reverse("admin:batchops_batch_changelist"), {"show": "everything"})
    opened = set()
    for link in hostile.Reading(text_of(page)).links:
        response = client.get(as_a_browser_resolves(link), {"counts": ""})
        batch = (response.context or {}).get("batch")
        if isinstance(batch, Batch):
            opened.add(batch.batch_id)
    assert set(hostile.HOSTILE_IDS) <= opened
    assert opened == set(Batch.objects.values_list("batch_id", flat=True))


def as_a_browser_resolves(link: str) -> str:
    """The path that a browser asks for: steps such as "..", also escaped ones, are taken."""
    plain = re.sub("%2e", ".", link, flags=re.IGNORECASE)
    return urlsplit(urljoin("http://testserver/batchops/batch/", plain)).path
