"""/metrics says what is so, in Prometheus' terms, and only to those who may know."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from batchops import audit
from batchops.metrics import collector, counts
from batchops.metrics.models import TrailCount, VendorRequests
from batchops.models import Action, Change, ChangeState, SyncRun, VendorRate
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import vendor
from batchops.services.mirror import sync
from batchops.services.push import driver
from batchops.syllable.errors import SyllableError
from batchops.syllable.rate.estimate import Estimate
from tests.deployment.loading import BASE
from tests.services.changes.world import batches, confirm, draft

PROMTOOL = shutil.which("promtool")
RULES = BASE / "deploy" / "prometheus" / "batchops.rules.yml"
DASHBOARD = BASE / "deploy" / "grafana" / "batchops.json"
STRANGER = "198.51.100.7"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_counted_yet() -> Iterator[None]:
    vendor.TALLY.take()
    yield
    vendor.TALLY.take()


def samples(client: Client) -> dict[tuple[str, str], float]:
    """Each sample by its name and its labels, such as `status="200"`."""
    text = client.get("/metrics").content.decode()
    return {
        (
            one.name,
            ",".join(f'{name}="{value}"' for name, value in sorted(one.labels.items())),
        ): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_requests_to_the_vendor_are_counted_by_kind_and_status(
    client: Client, sandbox: EmbeddedSandbox, settings: Settings
) -> None:
    sync.run_sync(SyncRun.Kind.FULL)
    settings.SYLLABLE_API_KEY = "wrong"
    with pytest.raises(SyllableError):
        vendor.client().list_campaigns()
    counts.keep()
    found = samples(client)
    assert found["batchops_vendor_requests_total", 'operation="list_batches",status="200"'] >= 1
    assert found["batchops_vendor_requests_total", 'operation="list_campaigns",status="401"'] == 1
    name = "batchops_vendor_request_duration_seconds"
    whole = found[f"{name}_count", 'operation="list_campaigns"']
    assert whole == found[f"{name}_bucket", 'le="+Inf",operation="list_campaigns"']
    assert found[f"{name}_sum", 'operation="list_campaigns"'] > 0


def test_a_request_without_a_reply_is_counted_as_what_it_is(
    client: Client, settings: Settings
) -> None:
    settings.SYLLABLE_BASE_URL = "http://127.0.0.1:1"
    with pytest.raises(SyllableError):
        vendor.client(read_attempts=1).get_batch("b-1")
    counts.keep()
    key = ("batchops_vendor_requests_total", 'operation="get_batch",status="unreachable"')
    assert samples(client)[key] == 1


def test_several_processes_count_together() -> None:
    for _ in range(2):
        vendor.TALLY.count("update_batch", "200", 0.2)
        counts.keep()
    row = VendorRequests.objects.get()
    assert sum(row.buckets) == 2
    assert row.seconds == pytest.approx(0.4)


def test_what_cannot_be_kept_is_kept_later() -> None:
    vendor.TALLY.count("update_batch", "200", 0.2)
    with (
        mock.patch.object(counts, "_add", side_effect=DatabaseError("gone")),
        pytest.raises(DatabaseError),
    ):
        counts.keep()
    counts.keep()
    assert sum(VendorRequests.objects.get().buckets) == 1


def test_a_change_on_its_way(client: Client, operator: User) -> None:
    batches(3)
    change = confirm(draft(operator), operator)
    since = timezone.now() - dt.timedelta(minutes=7)
    Change.objects.update(created_at=since, confirmed_at=since)
    found = samples(client)
    assert found["batchops_changes", f'state="{change.state}"'] == 1
    assert found["batchops_items_waiting", ""] == 3
    assert found["batchops_items_oldest_waiting_timestamp_seconds", ""] == pytest.approx(
        since.timestamp()
    )
    Change.objects.update(halted_reason="the key")
    found = samples(client)
    assert found["batchops_changes_halted", ""] == 1
    assert ("batchops_items_oldest_waiting_timestamp_seconds", "") not in found


def test_outcomes_and_sign_ins_are_counted_from_the_trail_once(
    client: Client, operator: User, olivia: audit.Actor
) -> None:
    before = samples(client)
    for _ in range(3):
        audit.record_now(audit.Fact(Action.BATCH_APPLIED, olivia))
        client.post("/login/", {"username": "nobody", "password": "wrong"})
        counts.keep()
    audit.record_now(audit.Fact(Action.BATCH_REFUSED, olivia))
    found = samples(client)

    def grown(name: str, labels: str = "") -> float:
        return found[name, labels] - before.get((name, labels), 0)

    assert grown("batchops_item_outcomes_total", 'outcome="applied"') == 3
    assert grown("batchops_item_outcomes_total", 'outcome="refused"') == 1
    assert grown("batchops_sign_ins_failed_total") == 3
    assert grown("batchops_audit_entries_total", 'action="batch.applied"') == 3
    assert grown("batchops_audit_trail_sequence") == 7


def test_a_reader_that_counted_less_far_throws_nobody_back(olivia: audit.Actor) -> None:
    audit.record_now(audit.Fact(Action.BATCH_APPLIED, olivia))
    counts.keep()
    kept = TrailCount.objects.get()
    behind = TrailCount(through=kept.through - 1, by_action={})
    with mock.patch.object(counts, "_counted_entries", return_value=behind):
        counts.keep()
    assert TrailCount.objects.get().by_action == kept.by_action


def test_the_learnt_rate(client: Client, settings: Settings) -> None:
    name = ("batchops_vendor_rate_limit_requests_per_second", "")
    assert name not in samples(client)
    estimate = dataclasses.asdict(Estimate(ceiling=28.0, base=27.0))
    now = timezone.now()
    VendorRate.objects.create(
        base_url=settings.SYLLABLE_BASE_URL, estimate=estimate, taken_until=now, learnt_at=now
    )
    assert samples(client)[name] == 28
    settings.SYLLABLE_MAX_RATE = 10.0
    assert samples(client)[name] == 10


def test_the_mirror_and_its_syncs(client: Client, sandbox: EmbeddedSandbox) -> None:
    assert ("batchops_mirror_synced_timestamp_seconds", "") not in samples(client)
    run = sync.run_sync(SyncRun.Kind.FULL)
    found = samples(client)
    at = found["batchops_mirror_synced_timestamp_seconds", ""]
    assert at == pytest.approx(run.started_at.timestamp())
    assert found["batchops_sync_duration_seconds", 'kind="full"'] >= 0
    assert found["batchops_vendor_key_rejected", ""] == 0


def test_workers_that_send(client: Client, running_worker: None) -> None:
    assert samples(client)["batchops_workers", ""] == 1


def test_a_change_that_was_carried_out_is_told_until_it_is_read_back(
    client: Client, operator: User, sandbox: EmbeddedSandbox
) -> None:
    batches(2)
    change = confirm(draft(operator), operator)
    change.items.update(state="applied")
    Change.objects.update(state=ChangeState.FINISHED, started_at=timezone.now())
    assert samples(client)["batchops_items_unconfirmed", ""] == 2
    Change.objects.update(read_back_at=timezone.now())
    assert samples(client)["batchops_items_unconfirmed", ""] == 0


def test_a_stranger_learns_nothing(client: Client, settings: Settings) -> None:
    for token in ("", "right"):
        settings.METRICS_TOKEN = token
        for sent in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer wrong"}):
            response = client.get("/metrics", REMOTE_ADDR=STRANGER, headers=sent)
            assert response.status_code == 403
            assert b"batchops_" not in response.content


def test_whoever_has_the_token_or_comes_from_a_network_that_is_named_reads(
    client: Client, settings: Settings
) -> None:
    settings.METRICS_TOKEN = "right"
    told = {"Authorization": "Bearer right"}
    assert client.get("/metrics", REMOTE_ADDR=STRANGER, headers=told).status_code == 200
    settings.METRICS_FROM = [ip_network("198.51.100.0/24")]
    assert client.get("/metrics", REMOTE_ADDR=STRANGER).status_code == 200
    assert client.get("/metrics").status_code == 403


def test_a_proxy_on_this_machine_does_not_make_its_clients_local(client: Client) -> None:
    response = client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"})
    assert response.status_code == 403


def test_a_database_that_is_down_is_an_answer_that_prometheus_counts_as_down(
    client: Client,
) -> None:
    with mock.patch.object(collector, "_vendor", side_effect=DatabaseError("gone")):
        assert client.get("/metrics").status_code == 503


def test_the_format_is_the_one_that_is_asked_for(client: Client) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    response = client.get("/metrics", headers={"Accept": accept})
    assert response["Content-Type"].startswith("application/openmetrics-text")
    assert response.content.endswith(b"# EOF\n")


def test_the_key_is_not_in_it(client: Client, settings: Settings) -> None:
    assert settings.SYLLABLE_API_KEY not in client.get("/metrics").content.decode()


def known_names(client: Client) -> set[str]:
    text = client.get("/metrics").content.decode()
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        names |= {f"{name}_bucket"} if kind == "histogram" else {name}
    return names


def test_rules_and_dashboard_ask_only_for_what_is_there(client: Client) -> None:
    known = known_names(client)
    assert len(known) > 20
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = RULES.read_text() + " ".join(t["expr"] for p in panels for t in p["targets"])
    named = set(re.findall(r"\bbatchops_[a-z_]+", asked))
    assert named
    assert named <= known


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing (apt-get install prometheus)")
class TestPromtool:
    def test_names_and_units_are_by_the_conventions(
        self, client: Client, sandbox: EmbeddedSandbox
    ) -> None:
        sync.run_sync(SyncRun.Kind.FULL)
        driver.drive()
        counts.keep()
        text = client.get("/metrics").content.decode()
        assert run("check", "metrics", input=text) == ""

    def test_the_rules_and_the_configuration_can_be_read(self) -> None:
        assert "SUCCESS" in run("check", "rules", str(RULES))
        config = RULES.with_name("prometheus.yml")
        assert "SUCCESS" in run("check", "config", "--syntax-only", str(config))


def run(*arguments: str, input: str = "") -> str:
    """What promtool says."""
    done = subprocess.run(
        [str(PROMTOOL), *arguments],
        input=input,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr
