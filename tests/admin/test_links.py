"""Every link of every page leads to a page that its reader may see."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urljoin

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from tests.admin import seeded
from tests.admin.crawling import crawl, links_of, text_of

pytestmark = pytest.mark.django_db

HOME: Final = reverse("admin:index")
SAMPLES: Final = 2
"""Pages visited of each kind: addresses that differ in nothing but values."""


def test_every_link_of_every_page_leads_somewhere_for_every_role(
    make_person: Callable[..., User], running_worker: None
) -> None:
    staff = seeded.people(make_person)
    problems, pages = [], set[str]()
    with seeded.seeded_sandbox(batches=60) as sandbox:
        seeded.past(sandbox, staff, size=2)
        for role, user in staff.items():
            reader = seeded.signed_in(user)
            for address, response, linked_from in crawl(reader, [HOME], SAMPLES):
                pages.add(address)
                if response.status_code not in (200, 301, 302):
                    problems.append(f"{role}: {linked_from} → {address}: {response.status_code}")
                for link in missing_anchors(address, response):
                    problems.append(f"{role}: {address} has no {link}")
    assert not problems, "\n".join(problems)
    assert len(pages) > 100


def missing_anchors(address: str, response: Any) -> set[str]:
    """Links to a place on the same page that is not there."""
    page = text_of(response)
    here = {link for link in links_of(response) if "#" in link and page}
    return {
        link
        for link in here
        if urljoin(address, link).partition("#")[0] == address
        and link.partition("#")[2]
        and not re.search(rf'id="{re.escape(link.partition("#")[2])}"', page)
    }
