"""The preview of a draft: what it says will happen, to how many, and what is flagged."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from batchops.audit import Actor
from batchops.models import Batch, Campaign, Change, ChangeState, SyncRun
from batchops.services.changes import drafts
from batchops.services.preview import summary
from batchops.syllable.patch import CLEAR, BatchPatch
from tests.admin.changes.previews import page, text
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

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_mirror")]


QUERIES_AT_MOST = 22


def test_it_says_to_how_many_what_will_happen_and_what_is_left_out_and_why(
    signed_in: Client, operator: User
) -> None:
    batches(3)
    batch("held", paused=True)
    batch("failed", status="FAILED")
    shown = text(signed_in, draft(operator))
    assert "<strong>3 batches</strong> of 5 selected will be changed" in shown
    assert "1 already paused: they stay paused too; 1 skipped." in shown
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
    assert "No batch has “nothing” in its id." in text(signed_in, change, "?q=nothing")


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
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    hours = {"daily_start_time": "09:00", "daily_end_time": "17:00", "active_days": days}
    campaign(1, **hours, outreach_override_rules={}, time_zone="UTC")
    batch()
    noon = (timezone.now() + dt.timedelta(days=2)).replace(hour=12)
    night = noon.replace(hour=23)
    words = "within the calling hours of 1 batch"
    assert words in text(signed_in, draft(operator, BatchPatch(expires_on=noon)))
    assert words not in text(signed_in, draft(operator, BatchPatch(expires_on=night)))
    Campaign.objects.update(time_zone="")
    shown = text(signed_in, draft(operator, BatchPatch(expires_on=night)))
    assert "Not foreseen whether the expiry falls within the calling hours of 1 batch" in shown


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
    assert "Another person has to approve this. It lets outreach" in text(signed_in, change)
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
    assert f'value="{local:%Y-%m-%d} 08:00"' in shown


def test_reasons_given_lately_are_one_click_away(signed_in: Client, operator: User) -> None:
    batches(2)
    ended(operator)
    shown = text(signed_in, draft(operator))
    assert '<option value="wrong list"></option>' in shown
    assert 'data-value="wrong list"' in shown


def test_hostile_text_is_shown_as_text(signed_in: Client, operator: User) -> None:
    campaign(1, campaign_name="<script>alert(1)</script>")
    batch("<b>x</b>/../?#%2F")
    shown = text(signed_in, draft(operator, selection="<i>y</i>"))
    for tag in ("<script>alert", "<b>x", "<i>y"):
        assert tag not in shown


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
    assert f'value="{end:%Y-%m-%d %H:%M}"' in shown


def test_an_undo_says_what_it_puts_back(signed_in: Client, operator: User) -> None:
    batches(2, call_rate=10)
    done = ended(operator, BatchPatch(call_rate=5))
    undo = drafts.draft_undo(done, user=operator, actor=Actor.of_user(operator))
    shown = text(signed_in, undo)
    assert f"Undo change {done.short_id}" in shown
    assert "<del>5 an hour</del>" in shown
    assert "<ins>10 an hour</ins>" in shown
    confirm(undo, operator)


def test_expire_now_is_called_that_and_has_no_start_of_its_own(
    signed_in: Client, operator: User
) -> None:
    batches(2)
    now = timezone.now().replace(microsecond=0)
    shown = text(signed_in, draft(operator, BatchPatch(expires_on=now), expire_now=True))
    assert "Confirm: Expire 2 batches now" in shown
    assert "Run at" not in shown
    assert 'class="danger-button"' in shown


def test_reasons_to_choose_fit_the_direction(signed_in: Client, operator: User) -> None:
    batches(2)
    ended(operator, PAUSE, reason="complaints")
    ended(operator, RESUME, reason="list corrected")
    pause, resume = (text(signed_in, draft(operator, patch)) for patch in (PAUSE, RESUME))
    assert ("complaints" in pause, "list corrected" in pause) == (True, False)
    assert ("complaints" in resume, "list corrected" in resume) == (False, True)
