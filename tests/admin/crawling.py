"""A way through the site as a reader takes it: from link to link, a few pages of each kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urljoin, urlsplit

from django.test import Client

from tests.admin.hostile import Reading

QUESTIONS: Final = 2
"""Most values in the query of an address that is visited."""


class Visit(NamedTuple):
    """An answer to an address, and the page that leads there; empty where no page is known to."""

    address: str
    response: Any
    linked_from: str


def crawl(client: Client, start: Iterable[str], samples: int) -> Iterator[Visit]:
    """Visit the addresses given and follow every link, so many of each kind."""
    waiting = list(start)
    known, linked = set(waiting), dict[str, str]()
    visited: dict[tuple[str, ...], int] = {}
    while waiting:
        address = waiting.pop()
        kind = kind_of(address)
        visited[kind] = visited.get(kind, 0) + 1
        if visited[kind] > samples or len(kind) > QUESTIONS + 1:
            continue
        response = client.get(address)
        yield Visit(address, response, linked.get(address, ""))
        found = {urljoin(address, link).partition("#")[0] for link in links_of(response)}
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


def links_of(response: Any) -> set[str]:
    if response.has_header("Location"):
        return {response["Location"]}
    return Reading(text_of(response)).links


def text_of(response: Any) -> str:
    """The page; empty for anything else."""
    is_page = "html" in response.get("Content-Type", "") and not response.streaming
    return response.content.decode() if is_page else ""
