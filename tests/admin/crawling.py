"""A way through the site as a reader takes it: from link to link, a few pages of each kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urljoin, urlsplit

from django.test import Client

from tests.admin.hostile import Reading

OBJECTS: Final = 2
"""Pages visited of each kind: addresses without a query that differ in nothing but values."""


class Visit(NamedTuple):
    """An answer to an address, and the page that leads there; empty where no page is known to."""

    address: str
    response: Any
    reading: Reading
    linked_from: str


def crawl(client: Client, start: Iterable[str], questions: int) -> Iterator[Visit]:
    """Visit the addresses given and follow every link, a few of each kind.

    An address whose query has more than so many values is not visited.
    """
    waiting = list(start)
    known, linked = set(waiting), dict[str, str]()
    visited: dict[tuple[str, ...], int] = {}
    while waiting:
        address = waiting.pop()
        kind = kind_of(address)
        visited[kind] = visited.get(kind, 0) + 1
        asked = len(kind) - 1
        if visited[kind] > (1 if asked else OBJECTS) or asked > questions:
            continue
        response = client.get(address)
        reading = Reading(text_of(response))
        if response.has_header("Location"):
            reading.links.add(response["Location"])
        yield Visit(address, response, reading, linked.get(address, ""))
        found = {urljoin(address, link).partition("#")[0] for link in reading.links}
        inside = {link for link in found if re.match(r"/(?!/|static/)", link)}
        waiting += sorted(inside - known)
        known |= inside
        if response.status_code == 200:
            linked = dict.fromkeys(inside, address) | linked


def kind_of(address: str) -> tuple[str, ...]:
    """What pages that differ in values alone have in common."""
    parts = urlsplit(address)
    path = re.sub(r"/(batchops|auth)/(\w+)/[^/]+/", r"/\1/\2/*/", parts.path)
    return path, *sorted(parse_qs(parts.query, keep_blank_values=True))


def text_of(response: Any) -> str:
    """The page; empty for anything else."""
    is_page = "html" in response.get("Content-Type", "") and not response.streaming
    return response.content.decode() if is_page else ""
