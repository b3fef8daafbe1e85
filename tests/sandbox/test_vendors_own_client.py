"""The sandbox is faithful: the vendor's own client works with it as with the vendor."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from syllable_sdk import SyllableSDK, errors, models

from batchops.sandbox import EmbeddedSandbox
from batchops.sandbox.generator import make_world

NEW_YEAR = dt.datetime(2037, 1, 1, 6, tzinfo=dt.UTC)


def test_all_pages_list_every_batch_once() -> None:
    with EmbeddedSandbox(make_world(batches=230, campaigns=5)) as sandbox:
        sdk = SyllableSDK(server_url=sandbox.url, api_key_header=sandbox.key)
        first = sdk.outbound.batches.list(page=0, limit=50)
        pages = [sdk.outbound.batches.list(page=n, limit=50) for n in range(5)]
        listed = [batch.batch_id for page in pages for batch in page.items]
        assert (first.total_count, first.total_pages, first.page_size) == (230, 5, 50)
        assert listed == sandbox.batch_ids()


def test_a_list_is_ordered_searched_and_bounded_in_time(
    sandbox: EmbeddedSandbox, sdk: SyllableSDK
) -> None:
    for day in (1, 2, 3, 4):
        sandbox.add_batch(batch_id=f"{day}", last_updated_at=f"2026-03-0{day}T00:00:00Z")
    sandbox.add_batch(batch_id="other campaign", campaign_id=2)
    page = sdk.outbound.batches.list(
        order_by=models.BatchProperties.LAST_UPDATED_AT,
        order_by_direction=models.OrderByDirection.DESC,
        search_fields=[models.BatchProperties.CAMPAIGN_ID],
        search_field_values=["1"],
        fields=[models.BatchProperties.BATCH_ID],
        start_datetime="2026-03-02T00:00:00Z",
        end_datetime="2026-03-03T00:00:00+00:00",
    )
    assert [batch.batch_id for batch in page.items] == ["3", "2"]


def test_a_single_batch_has_counts_of_its_requests(
    sandbox: EmbeddedSandbox, sdk: SyllableSDK
) -> None:
    sandbox.add_batch(batch_id="20260324.9", contacts=250)
    batch = sdk.outbound.batches.get_by_id(batch_id="20260324.9")
    assert batch.status is models.BatchStatus.ACTIVE
    assert sum((batch.status_counts or {}).values()) == 250
    breakdown = batch.detailed_status_counts or {}
    assert {name: part.total_count for name, part in breakdown.items()} == batch.status_counts


@pytest.mark.parametrize(
    ("field", "value"),
    [("paused", True), ("expires_on", NEW_YEAR), ("call_rate", 3600), ("auto_call_rate", True)],
)
def test_each_field_is_updated_and_the_others_stay(
    sandbox: EmbeddedSandbox, sdk: SyllableSDK, field: str, value: Any
) -> None:
    expiry = dt.datetime(2036, 1, 1, tzinfo=dt.UTC)
    before = sandbox.add_batch(batch_id="one", expires_on=expiry, call_rate=7)
    update = models.CommunicationBatchUpdate(**{field: value})
    reply = sdk.outbound.batches.update(batch_id="one", communication_batch_update=update)
    read = sdk.outbound.batches.get_by_id(batch_id="one")
    after = sandbox.batch("one")
    moved = {name for name in after if after[name] != before[name]}
    assert getattr(reply, field) == getattr(read, field) == value
    assert moved - {"last_updated_at", "last_updated_by", "status"} == {field}


@pytest.mark.parametrize("field", ["expires_on", "call_rate", "paused"])
def test_null_clears_what_may_be_empty(
    sandbox: EmbeddedSandbox, sdk: SyllableSDK, field: str
) -> None:
    sandbox.add_batch(batch_id="one", expires_on=NEW_YEAR, call_rate=7, paused=True)
    update = models.CommunicationBatchUpdate(**{field: None})
    reply = sdk.outbound.batches.update(batch_id="one", communication_batch_update=update)
    assert getattr(reply, field) is None
    assert sandbox.batch("one")[field] is None


def test_null_turns_automatic_call_rate_off(sandbox: EmbeddedSandbox, sdk: SyllableSDK) -> None:
    sandbox.add_batch(batch_id="one", expires_on=NEW_YEAR, auto_call_rate=True)
    update = models.CommunicationBatchUpdate(auto_call_rate=None)
    reply = sdk.outbound.batches.update(batch_id="one", communication_batch_update=update)
    assert reply.auto_call_rate is False


def test_an_update_names_the_owner_of_the_key_and_the_moment(
    sandbox: EmbeddedSandbox, sdk: SyllableSDK
) -> None:
    sandbox.add_batch(batch_id="one")
    started = dt.datetime.now(dt.UTC)
    update = models.CommunicationBatchUpdate(paused=True)
    reply = sdk.outbound.batches.update(batch_id="one", communication_batch_update=update)
    assert reply.last_updated_by == "integration@harborline.example"
    assert isinstance(reply.last_updated_at, dt.datetime)
    assert started <= reply.last_updated_at <= dt.datetime.now(dt.UTC)


def test_ids_with_spaces_and_letters_of_any_language_are_reached(
    sandbox: EmbeddedSandbox, sdk: SyllableSDK
) -> None:
    sandbox.add_batch(batch_id="nachzügler spät")
    assert sdk.outbound.batches.get_by_id(batch_id="nachzügler spät").campaign_id == 1


def test_campaigns_are_listed_and_read(sandbox: EmbeddedSandbox, sdk: SyllableSDK) -> None:
    sandbox.add_campaign(id=2, campaign_name="Late payments", mode="sms", labels=("billing",))
    page = sdk.outbound.campaigns.list(
        search_fields=[models.CampaignProperties.CAMPAIGN_NAME], search_field_values=["late"]
    )
    assert page is not None
    assert [campaign.id for campaign in page.items] == [2]
    campaign = sdk.outbound.campaigns.get_by_id(campaign_id=2)
    assert (campaign.campaign_name, campaign.mode, campaign.labels) == (
        "Late payments",
        "sms",
        ["billing"],
    )


def test_a_generated_world_is_understood_whole() -> None:
    with EmbeddedSandbox(make_world(batches=120, campaigns=20)) as sandbox:
        sdk = SyllableSDK(server_url=sandbox.url, api_key_header=sandbox.key)
        batches = sdk.outbound.batches.list(limit=500).items
        campaigns = sdk.outbound.campaigns.list(limit=500)
        details = [
            sdk.outbound.batches.get_by_id(batch_id=batch.batch_id)
            for batch in batches
            if "/" not in batch.batch_id
        ]
    assert campaigns is not None
    assert (len(batches), len(campaigns.items)) == (120, 20)
    assert {batch.status for batch in details} == set(models.BatchStatus)


def test_a_wrong_key_is_an_api_error_401(sandbox: EmbeddedSandbox) -> None:
    sdk = SyllableSDK(server_url=sandbox.url, api_key_header="wrong")
    with pytest.raises(errors.APIError) as caught:
        sdk.outbound.batches.list()
    assert caught.value.status_code == 401


def test_an_unknown_batch_is_an_api_error_404(sdk: SyllableSDK) -> None:
    with pytest.raises(errors.APIError) as caught:
        sdk.outbound.batches.get_by_id(batch_id="never was")
    assert caught.value.status_code == 404
    assert '{"detail":"Batch never was not found"}' in caught.value.body


def test_an_unknown_campaign_is_an_api_error_404(sdk: SyllableSDK) -> None:
    with pytest.raises(errors.APIError) as caught:
        sdk.outbound.campaigns.get_by_id(campaign_id=77)
    assert caught.value.status_code == 404


def test_a_refused_update_is_a_validation_error_with_the_place(
    sandbox: EmbeddedSandbox, sdk: SyllableSDK
) -> None:
    sandbox.add_batch(batch_id="one")
    with pytest.raises(errors.HTTPValidationError) as caught:
        sdk.outbound.batches.update(
            batch_id="one", communication_batch_update={"auto_call_rate": True}
        )
    (detail,) = caught.value.data.detail or []
    assert detail.loc == ["body", "auto_call_rate"]
    assert detail.msg == "auto_call_rate requires expires_on"


def test_a_limit_that_is_too_large_is_a_validation_error(sdk: SyllableSDK) -> None:
    with pytest.raises(errors.HTTPValidationError) as caught:
        sdk.outbound.batches.list(limit=501)
    (detail,) = caught.value.data.detail or []
    assert detail.loc == ["query", "limit"]
