"""Every page stands a vendor whose texts, ids and dates are hostile, for every role and zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver, reverse
from django.urls.resolvers import URLPattern, URLResolver

from batchops.models import Batch
from batchops.sandbox.embedded import EmbeddedSandbox
from tests.admin import hostile

pytestmark = pytest.mark.django_db(transaction=True)

ROLES: Final = {
    "Operator": "Pacific/Kiritimati",
    "Approver": "America/Los_Angeles",
    "Auditor": "Pacific/Kiritimati",
    "Viewer": "UTC",
    "": "America/Los_Angeles",
}
"""Each role, the administrator's being none, with the zone of its reader."""
SAMPLES: Final = 2
"""Pages visited of each kind: addresses that differ in nothing but values."""
QUESTIONS: Final = 2
"""Most values in the query of an address that is visited."""
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


def kind_of(address: str) -> tuple[str, ...]:
    """What pages that differ in values alone have in common."""
    parts = urlsplit(address)
    path = re.sub(r"/(batchops|auth)/(\w+)/[^/]+/", r"/\1/\2/*/", parts.path)
    return path, *sorted(parse_qs(parts.query, keep_blank_values=True))


def crawl(client: Client) -> Iterator[tuple[str, Any]]:
    """Visit every address and follow every link, a few of each kind."""
    waiting = list(addresses_of_the_resolver())
    known, linked = set(waiting), set[str]()
    visited: dict[tuple[str, ...], int] = {}
    while waiting:
        address = waiting.pop()
        kind = kind_of(address)
        visited[kind] = visited.get(kind, 0) + 1
        if visited[kind] > SAMPLES or len(kind) > QUESTIONS + 1:
            continue
        response = client.get(address)
        yield address, response
        assert response.status_code != 404 or address not in linked, f"{address} leads nowhere"
        found = {urljoin(address, link) for link in links_of(response)}
        inside = {link.partition("#")[0] for link in found if re.match(r"/(?!/|static/)", link)}
        waiting += sorted(inside - known)
        linked |= inside if response.status_code == 200 else set()
        known |= inside


def links_of(response: Any) -> set[str]:
    if response.has_header("Location"):
        return {response["Location"]}
    return hostile.Reading(text_of(response)).links


def text_of(response: Any) -> str:
    """The page; empty for anything else."""
    is_page = "html" in response.get("Content-Type", "") and not response.streaming
    return response.content.decode() if is_page else ""


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.usefixtures("running_worker")
def test_every_page_stands_a_hostile_vendor(
    sandbox: EmbeddedSandbox,
    operator: User,
    make_person: Callable[..., User],
    client: Client,
    role: str,
) -> None:
    hostile.hostile_world(sandbox)
    hostile.hostile_past(sandbox, operator)
    person = operator
    if role != "Operator":
        person = make_person("paula", *filter(None, [role]), is_superuser=not role)
    client.force_login(person)
    client.cookies["time_zone"] = ROLES[role]
    client.raise_request_exception = False
    pages, problems = 0, []
    for address, response in crawl(client):
        pages += 1
        if response.status_code not in EXPECTED:
            problems.append(
                f"{address}: {response.status_code} {getattr(response, 'exc_info', '')}"
            )
        problems += [f"{address}: {one}" for one in hostile.Reading(text_of(response)).intruders]
    assert not problems, "\n".join(problems)
    assert pages > 60


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
