"""The form of a preview: whom it lets confirm, and what it does with bad input."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from batchops.audit import Actor
from batchops.models import AuditEntry, Batch, ChangeState
from batchops.services.changes import emergency, terms
from batchops.syllable.patch import BatchPatch
from tests.admin.changes.previews import page, text, to_page
from tests.services.changes.world import (
    PAUSE,
    RESUME,
    batch,
    batches,
    draft,
)

pytestmark = [pytest.mark.once, pytest.mark.django_db, pytest.mark.usefixtures("fresh_mirror")]


@pytest.mark.parametrize(("most", "state"), [(3, "queued"), (2, "awaiting_approval")])
def test_a_page_confirms_where_the_number_of_batches_decides_about_approval(
    signed_in: Client, operator: User, settings: Settings, most: int, state: str
) -> None:
    settings.APPROVAL_THRESHOLD = most
    batches(3)
    change = draft(operator, PAUSE)
    answer = signed_in.post(page(change), {"reason": "Why", "seen": change.fingerprint})
    assert answer["Location"] == to_page(change)
    change.refresh_from_db()
    assert change.state == state


def test_confirming_leads_to_the_change(signed_in: Client, operator: User) -> None:
    batch()
    change = draft(operator)
    answer = signed_in.post(
        page(change), {"seen": change.fingerprint, "reason": "wrong list", "reference": "OPS-1"}
    )
    assert answer["Location"] == to_page(change)
    change.refresh_from_db()
    assert (change.state, change.reason, change.reference) == ("queued", "wrong list", "OPS-1")


def test_times_are_read_in_the_zone_of_the_reader(signed_in: Client, operator: User) -> None:
    signed_in.cookies["time_zone"] = "Asia/Tokyo"
    batch()
    change = draft(operator)
    day = timezone.now().date() + dt.timedelta(days=10)
    signed_in.post(
        page(change),
        {
            "seen": change.fingerprint,
            "reason": "x",
            "starts_at": f"{day}T09:00",
            "resume_at": f"{day} 21:00",
        },
    )
    change.refresh_from_db()
    midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
    assert change.starts_at == midnight
    assert change.resume_at == midnight + dt.timedelta(hours=12)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"reason": ""}, "Give a reason"),
        ({"reason": "x" * 2001}, "at most 2000 characters"),
        ({"reason": "x", "reference": "y" * 101}, "at most 100 characters"),
        ({"reason": "x", "starts_at": "soon"}, "Enter a date and a time"),
        ({"reason": "x", "starts_at": "2020-01-01T08:00"}, "This time is in the past"),
        ({"reason": "x", "starts_at": "9999-12-31T23:59"}, "within a year"),
        ({"reason": "x", "resume_at": "2020-01-01T08:00"}, "This time is in the past"),
        ({"reason": "x", "resume_at": "0001-01-01T00:00"}, "This time is in the past"),
        ({"reason": "x", "typed_count": ""}, "Type the number of batches to confirm"),
        ({"reason": "x", "typed_count": "three"}, "in digits"),
        (
            {"reason": "x", "typed_count": "4"},
            "Type the number of batches that will be changed (3)",
        ),
    ],
)
def test_bad_input_is_named_at_its_field_and_nothing_is_confirmed(
    signed_in: Client, operator: User, settings: Settings, given: dict[str, str], words: str
) -> None:
    settings.TYPED_CONFIRMATION_ABOVE = 2
    batches(3)
    change = draft(operator)
    answer = signed_in.post(page(change), {"typed_count": "3", **given})
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert 'class="errorlist' in answer.content.decode()
    change.refresh_from_db()
    assert change.state == ChangeState.DRAFT


def test_a_second_click_another_tab_and_the_back_button_do_nothing_twice(
    signed_in: Client, operator: User
) -> None:
    batch()
    change = draft(operator)
    signed_in.post(page(change), {"seen": change.fingerprint, "reason": "first"})
    again = signed_in.post(
        page(change), {"seen": change.fingerprint, "reason": "second"}, follow=True
    )
    back = signed_in.get(page(change), follow=True)
    for answer in (again, back):
        assert answer.redirect_chain == [(to_page(change), 302)]
        assert "had already been confirmed; nothing was done twice" in answer.content.decode()
    assert AuditEntry.objects.filter(action="change.confirmed").count() == 1


def test_a_draft_is_its_authors_alone_and_other_tries_are_recorded(
    client: Client, operator: User, administrator: User, make_person: Callable[..., User]
) -> None:
    batch()
    change = draft(operator)
    for other in (make_person("otto", "Operator"), administrator):
        client.force_login(other)
        for address in (page(change), to_page(change)):
            assert client.get(address).status_code == 403
        assert client.post(page(change), {"reason": "mine"}).status_code == 403
        client.post(reverse("admin:batchops_change_discard", args=[change.pk]))
    change.refresh_from_db()
    assert change.state == ChangeState.DRAFT
    for name in ("otto", "ada"):
        denied = AuditEntry.objects.filter(actor_name=name, outcome="denied")
        assert {"access.denied", "change.denied"} <= set(denied.values_list("action", flat=True))


def test_a_permission_taken_away_meanwhile_is_said_and_recorded(
    signed_in: Client, operator: User
) -> None:
    batch(paused=True)
    change = draft(operator, RESUME)
    operator.groups.set(Group.objects.filter(name="Viewer"))
    signed_in.force_login(operator)
    answer = signed_in.post(page(change), {"seen": change.fingerprint, "reason": "x"}, follow=True)
    assert "let outreach reach more people" in answer.content.decode()
    change.refresh_from_db()
    assert change.state == ChangeState.DRAFT
    assert AuditEntry.objects.filter(action="change.denied", actor_name="olivia").exists()


def test_a_draft_whose_batches_all_became_ineligible_says_so(
    signed_in: Client, operator: User
) -> None:
    batches(2)
    change = draft(operator)
    Batch.objects.update(status="CANCELED")
    answer = signed_in.post(page(change), {"seen": change.fingerprint, "reason": "x"})
    assert "None of these batches can still be changed" in answer.content.decode()


def test_a_discarded_draft_is_gone(signed_in: Client, operator: User) -> None:
    batch()
    change = draft(operator)
    discard = reverse("admin:batchops_change_discard", args=[change.pk])
    assert "Draft discarded" in signed_in.post(discard, follow=True).content.decode()
    again = signed_in.get(page(change), follow=True)
    assert "This draft was discarded" in again.content.decode()
    assert signed_in.get(discard).status_code == 405


def test_an_emergency_has_its_reason_filled_in_and_asks_for_no_number(
    signed_in: Client, operator: User, settings: Settings
) -> None:
    settings.TYPED_CONFIRMATION_ABOVE = 1
    batches(3)
    change = emergency.draft_pause(user=operator, actor=Actor.of_user(operator))
    shown = text(signed_in, change)
    assert 'value="Emergency: outreach has to stop now"' in shown
    assert "typed_count" not in shown
    signed_in.post(page(change), {"seen": change.fingerprint, "reason": "Wrong list"})
    change.refresh_from_db()
    assert change.state == ChangeState.QUEUED


def test_an_unknown_draft_is_not_found(signed_in: Client) -> None:
    unknown = reverse("admin:batchops_change_preview", args=[uuid.uuid4()])
    assert signed_in.get(unknown).status_code == 404


def test_a_draft_that_is_no_longer_what_the_page_showed_is_shown_again(
    signed_in: Client, operator: User
) -> None:
    batch()
    change = draft(operator)
    form = {"seen": change.fingerprint, "reason": "wrong list"}
    # As if another tab had requested something else.
    change.patch = BatchPatch(paused=True, call_rate=9)
    terms.restamp(change)
    change.save()
    answer = signed_in.post(page(change), form).content.decode()
    assert "no longer what you were shown" in answer
    assert "call rate" in answer
    assert "wrong list" in answer, "what was typed stays"
    change.refresh_from_db()
    assert change.state == ChangeState.DRAFT
    assert change.fingerprint in answer, "the next click confirms what is shown now"
    signed_in.post(page(change), form | {"seen": change.fingerprint})
    change.refresh_from_db()
    assert change.state == ChangeState.QUEUED


def test_a_form_that_does_not_say_what_it_showed_confirms_nothing(
    signed_in: Client, operator: User
) -> None:
    batch()
    change = draft(operator)
    assert change.fingerprint in text(signed_in, change)
    signed_in.post(page(change), {"reason": "wrong list"})
    change.refresh_from_db()
    assert change.state == ChangeState.DRAFT
