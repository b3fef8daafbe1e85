"""The review page: what it says, whom it lets confirm, and what it does with bad input."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from batchops.audit import Actor
from batchops.models import AuditEntry, Batch, Change, ChangeState, SyncRun
from batchops.services.changes import drafts, emergency, terms
from batchops.services.preview import summary
from batchops.syllable.patch import CLEAR, BatchPatch
from tests.services.changes.world import (
    PAUSE,
    RESUME,
    batch,
    batches,
    campaign,
    confirm,
    draft,
    ended,
)

pytestmark = pytest.mark.django_db

QUERIES_AT_MOST = 22


@pytest.fixture(autouse=True)
def fresh_mirror(db: None) -> None:
    now = timezone.now()
    SyncRun.objects.create(kind="full", state="done", started_at=now, alive_at=now, finished_at=now)


@pytest.fixture
def signed_in(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def page(change: Change) -> str:
    return reverse("admin:batchops_change_preview", args=[change.pk])


def to_page(change: Change) -> str:
    return reverse("admin:batchops_change_change", args=[change.pk])


def text(signed_in: Client, change: Change, query: str = "") -> str:
    response = signed_in.get(page(change) + query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


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


def test_it_says_to_how_many_what_will_happen_and_what_is_left_out_and_why(
    signed_in: Client, operator: User
) -> None:
    batches(3)
    batch("held", paused=True)
    batch("failed", status="FAILED")
    shown = text(signed_in, draft(operator))
    assert "<strong>3 batches</strong> of 5 selected will be changed" in shown
    assert "1 already so; 1 skipped." in shown
    assert "Failed at the vendor: there is nobody to reach." in shown
    assert "attempts under way may finish" in shown


def test_numbers_add_up_by_plan_status_and_campaign(operator: User) -> None:
    for index in range(11):
        batch(f"b-{index}", campaign_id=index, status=["ACTIVE", "PENDING"][index % 2])
    batch("expired", status="EXPIRED")
    review = summary.preview(draft(operator))
    assert (review.acting, review.already, review.skipped, review.total) == (11, 0, 1, 12)
    assert {share.label: share.number for share in review.by_status} == {"ACTIVE": 6, "PENDING": 5}
    assert (len(review.by_campaign), review.more_campaigns) == (8, 3)
    assert sum(share.number for share in review.reasons) == review.skipped


def test_before_and_after_are_paged_filtered_and_searched(
    signed_in: Client, operator: User
) -> None:
    batches(30, expires_on=dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
    batch("failed", status="FAILED")
    change = draft(operator, BatchPatch(expires_on=CLEAR))
    assert "1 to 25 of 31" in text(signed_in, change)
    assert "26 to 31 of 31" in text(signed_in, change, "?p=2")
    assert "<bdi>b-0</bdi>" not in text(signed_in, change, "?show=skip")
    assert "<bdi>failed</bdi>" in text(signed_in, change, "?show=skip")
    found = text(signed_in, change, "?q=b-7")
    assert "<bdi>b-7</bdi>" in found
    assert "<bdi>b-8</bdi>" not in found
    assert "<del>1 Jan 2027 00:00 UTC</del>" in found
    assert "<ins>never</ins>" in found
    assert "No batch here" in text(signed_in, change, "?q=nothing")


def test_a_review_of_many_takes_few_queries(signed_in: Client, operator: User) -> None:
    batches(120)
    change = draft(operator)
    with CaptureQueriesContext(connection) as queries:
        text(signed_in, change)
    assert len(queries) <= QUERIES_AT_MOST
    Batch.objects.all()[:5]
    with CaptureQueriesContext(connection) as again:
        text(signed_in, change, "?p=3")
    assert len(again) <= len(queries)


def test_a_small_pause_flags_nothing(signed_in: Client, operator: User) -> None:
    batch()
    change = draft(operator)
    assert summary.preview(change).risks == ()
    assert "typed_count" not in text(signed_in, change)


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (RESUME, "Outreach starts again on 1 batch"),
        (BatchPatch(expires_on=CLEAR), "Outreach can reach more people on 1 batch"),
        (BatchPatch(call_rate=600), "Outreach can reach more people on 1 batch"),
    ],
)
def test_what_reaches_more_people_is_flagged(
    signed_in: Client, operator: User, patch: BatchPatch, words: str
) -> None:
    expiry = timezone.now() + dt.timedelta(days=3)
    batch(paused=True, expires_on=expiry, call_rate=60)
    assert words in text(signed_in, draft(operator, patch))


def test_an_expiry_at_once_is_flagged(signed_in: Client, operator: User) -> None:
    batch()
    change = draft(operator, BatchPatch(expires_on=timezone.now()), expire_now=True)
    assert "Outreach ends at once" in text(signed_in, change)


def test_an_expiry_within_the_calling_hours_is_flagged(signed_in: Client, operator: User) -> None:
    campaign(1, daily_start_time="09:00", daily_end_time="17:00")
    batch()
    noon = (timezone.now() + dt.timedelta(days=2)).replace(hour=12)
    night = noon.replace(hour=23)
    words = "within the calling hours of 1 batch"
    assert words in text(signed_in, draft(operator, BatchPatch(expires_on=noon)))
    assert words not in text(signed_in, draft(operator, BatchPatch(expires_on=night)))


def test_an_old_mirror_and_many_batches_are_flagged(
    signed_in: Client, operator: User, settings: Settings
) -> None:
    settings.TYPED_CONFIRMATION_ABOVE = 2
    SyncRun.objects.update(started_at=timezone.now() - dt.timedelta(hours=2))
    batches(3)
    shown = text(signed_in, draft(operator))
    assert "The mirror is 120 minutes old" in shown
    assert "Many batches: 3 will be changed." in shown
    assert 'name="typed_count"' in shown


def test_it_says_that_and_why_another_person_has_to_approve(
    signed_in: Client, operator: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR = "expanding"
    batch(paused=True)
    change = draft(operator, RESUME)
    assert "Another person has to approve it. It lets outreach" in text(signed_in, change)
    signed_in.post(page(change), {"seen": change.fingerprint, "reason": "clean again"})
    change.refresh_from_db()
    assert change.state == ChangeState.AWAITING_APPROVAL


def test_a_closed_window_is_shown_and_its_opening_filled_in(
    signed_in: Client, operator: User, settings: Settings
) -> None:
    local = timezone.now() + dt.timedelta(days=2)
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[local.weekday()]
    settings.RESUME_WINDOWS, settings.TIME_ZONE = f"{day} 08:00-18:00", "UTC"
    batch(paused=True)
    shown = text(signed_in, draft(operator, RESUME))
    assert f"allowed only {day} 08:00-18:00 (UTC)" in shown
    assert f'value="{local:%Y-%m-%d}T08:00"' in shown


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
        ({"reason": "x", "starts_at": "soon"}, "Give a date and a time"),
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
    assert "The draft is discarded" in signed_in.post(discard, follow=True).content.decode()
    again = signed_in.get(page(change), follow=True)
    assert "This draft was discarded" in again.content.decode()
    assert signed_in.get(discard).status_code == 405


def test_reasons_given_lately_are_one_click_away(signed_in: Client, operator: User) -> None:
    batches(2)
    ended(operator)
    shown = text(signed_in, draft(operator))
    assert '<option value="wrong list"></option>' in shown
    assert 'data-value="wrong list"' in shown


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


def test_hostile_text_is_shown_as_text(signed_in: Client, operator: User) -> None:
    campaign(1, campaign_name="<script>alert(1)</script>")
    batch("<b>x</b>/../?#%2F")
    shown = text(signed_in, draft(operator, selection="<i>y</i>"))
    for tag in ("<script>alert", "<b>x", "<i>y"):
        assert tag not in shown


def test_an_unknown_draft_is_not_found(signed_in: Client) -> None:
    unknown = reverse("admin:batchops_change_preview", args=[uuid.uuid4()])
    assert signed_in.get(unknown).status_code == 404


def test_a_retry_proposes_the_reason_and_the_end_of_what_it_retries(
    signed_in: Client, operator: User
) -> None:
    batches(2)
    done = ended(operator, PAUSE, state="failed")
    end = timezone.now() + dt.timedelta(days=1)
    Change.objects.filter(pk=done.pk).update(resume_at=end)
    done.refresh_from_db()
    retry = drafts.draft_retry(done, user=operator, actor=Actor.of_user(operator))
    shown = text(signed_in, retry)
    assert 'value="wrong list"' in shown
    assert f'value="{end:%Y-%m-%dT%H:%M}"' in shown


def test_an_undo_says_what_it_puts_back(signed_in: Client, operator: User) -> None:
    batches(2, call_rate=10)
    done = ended(operator, BatchPatch(call_rate=5))
    undo = drafts.draft_undo(done, user=operator, actor=Actor.of_user(operator))
    shown = text(signed_in, undo)
    assert f"Undo change {done.short_id}" in shown
    assert "<del>5 an hour</del>" in shown
    assert "<ins>10 an hour</ins>" in shown
    confirm(undo, operator)


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
