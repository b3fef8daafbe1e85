"""The list of changes, and what is to come."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from batchops.models import Batch, Change
from batchops.services.changes import lifecycle
from tests.services.changes.world import RESUME, batch, batches, confirm, draft, ended

pytestmark = pytest.mark.django_db

LIST = reverse("admin:batchops_change_changelist")
UPCOMING = reverse("admin:batchops_change_upcoming")


def listed(client: Client, user: User, query: str = "") -> set[str]:
    """The reasons of the changes that are listed."""
    client.force_login(user)
    answer = client.get(LIST + query)
    assert answer.status_code == 200
    return {change.reason for change in answer.context["cl"].result_list}


@pytest.fixture
def several(operator: User, make_person: Callable[..., User], settings: Settings) -> None:
    """One change of each kind that people look for, named by its reason."""
    batches(3)
    failed = ended(operator, reason="failed")
    failed.items.filter(batch="b-0").update(state="failed")
    lifecycle.refresh_counts(failed)
    later = timezone.now() + dt.timedelta(hours=3)
    confirm(
        draft(operator),
        operator,
        reason="scheduled",
        starts_at=later,
        resume_at=later + dt.timedelta(hours=1),
    )
    confirm(
        draft(make_person("otto", "Operator")), User.objects.get(username="otto"), reason="of otto"
    )
    settings.APPROVAL_FOR = "expanding"
    confirm(draft(operator, RESUME), operator, reason="waiting")
    draft(operator)


QUESTIONS: dict[str, set[str]] = {
    "": {"failed", "scheduled", "of otto", "waiting"},
    "?what=drafts": {""},
    "?what=mine": {"failed", "scheduled", "waiting"},
    "?what=open": {"scheduled", "of otto", "waiting"},
    "?what=approval": {"waiting"},
    "?what=scheduled": {"scheduled"},
    "?what=ending": {"scheduled"},
    "?what=trouble": {"failed"},
    "?what=halted": set(),
    "?created=today": {"failed", "scheduled", "of otto", "waiting"},
    "?person=otto": {"of otto"},
    "?state__exact=queued": {"of otto"},
    "?source__exact=undo": set(),
    "?q=waiting": {"waiting"},
}
"""What is asked of the list, with the reasons of the changes that answer it."""


def test_filters_and_search(client: Client, operator: User, several: None) -> None:
    assert {query: listed(client, operator, query) for query in QUESTIONS} == QUESTIONS


def test_drafts_of_others_are_not_listed(client: Client, viewer: User, several: None) -> None:
    assert listed(client, viewer) == {"failed", "scheduled", "of otto", "waiting"}


def test_the_list_takes_few_queries(client: Client, operator: User, several: None) -> None:
    client.force_login(operator)
    with CaptureQueriesContext(connection) as queries:
        text = client.get(LIST).content.decode()
    assert len(queries) <= 20
    assert "Finished, 1 not done" in text
    assert "2 of 3, 1 not as requested" in text


def test_the_list_offers_no_way_to_add_edit_or_delete(
    client: Client, administrator: User, several: None
) -> None:
    client.force_login(administrator)
    change = Change.objects.visible().first()
    assert change is not None
    for name, args in (("add", []), ("delete", [change.pk])):
        address = reverse(f"admin:batchops_change_{name}", args=args)
        assert client.post(address, {"post": "yes"}).status_code == 403
    answer = client.post(
        LIST, {"action": "delete_selected", "_selected_action": [str(change.pk)], "post": "yes"}
    )
    assert answer.status_code == 403
    assert Change.objects.filter(pk=change.pk).exists()


def test_what_is_to_come_is_listed_with_a_way_to_cancel(
    client: Client, operator: User, viewer: User, several: None
) -> None:
    client.force_login(operator)
    text = client.get(UPCOMING).content.decode()
    assert text.count("Stay paused</button>") == 1
    assert text.count("Cancel</button>") == 1
    client.force_login(viewer)
    text = client.get(UPCOMING).content.decode()
    assert "scheduled" in text
    assert "</button></form></td>" not in text


def test_nothing_to_come_is_said_so(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    assert "Nothing is scheduled" in client.get(UPCOMING).content.decode()


def test_who_may_not_see_changes_sees_no_list(
    client: Client, make_person: Callable[..., User]
) -> None:
    client.force_login(make_person("nina"))
    for address in (LIST, UPCOMING):
        assert client.get(address).status_code == 403


def test_a_pause_that_ended_is_not_to_come(client: Client, operator: User) -> None:
    batch()
    done = ended(operator)
    Change.objects.filter(pk=done.pk).update(resume_at=timezone.now() + dt.timedelta(hours=1))
    Batch.objects.update(paused=False, paused_by=None)
    client.force_login(operator)
    assert "Nothing is scheduled" in client.get(UPCOMING).content.decode()
