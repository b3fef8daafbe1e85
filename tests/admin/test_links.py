"""Every link of every page leads to a page that its reader may see."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urljoin

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from tests.admin import seeded
from tests.admin.crawling import Visit, crawl, text_of

pytestmark = pytest.mark.django_db

HOME: Final = reverse("admin:index")


@pytest.mark.once  # Whatever database: the budgets of queries visit the same pages.
def test_every_link_of_every_page_leads_somewhere_for_every_role(
    make_person: Callable[..., User], running_worker: None
) -> None:
    staff = seeded.people(make_person)
    problems, pages = [], set[str]()
    with seeded.seeded_sandbox(batches=60) as sandbox:
        seeded.past(sandbox, staff, size=2)
        for role, user in staff.items():
            reader = seeded.signed_in(user)
            # The administrator sees every page, so two questions at once are asked as one alone.
            for visit in crawl(reader, [HOME], questions=1 + user.is_superuser):
                pages.add(visit.address)
                if (status := visit.response.status_code) not in (200, 301, 302):
                    problems.append(f"{role}: {visit.linked_from} → {visit.address}: {status}")
                for link in missing_anchors(visit):
                    problems.append(f"{role}: {visit.address} has no {link}")
    assert not problems, "\n".join(problems)
    assert len(pages) > 100


def missing_anchors(visit: Visit) -> set[str]:
    """Links to a place on the same page that is not there."""
    return {
        link
        for link in visit.reading.links
        if urljoin(visit.address, link).partition("#")[0] == visit.address
        and link.partition("#")[2]
        and not re.search(rf'id="{re.escape(link.partition("#")[2])}"', text_of(visit.response))
    }
