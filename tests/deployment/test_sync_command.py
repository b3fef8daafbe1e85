"""manage.py sync syncs now, says what it found, and fails with the vendor's own words."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from batchops.models import Batch, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> str:
    output = io.StringIO()
    call_command("sync", *arguments, stdout=output)
    return output.getvalue()


def test_a_full_sync_fills_the_mirror_and_says_what_it_found(sandbox: EmbeddedSandbox) -> None:
    for number in range(3):
        sandbox.add_batch(batch_id=f"20261124.{number}", campaign_id=1)
    assert run("--full").startswith("Full sync: 3 batches seen, 3 new, 0 changed, in ")
    assert Batch.objects.count() == 3
    found = SyncRun.objects.get()
    assert found.kind == SyncRun.Kind.FULL
    assert "command line" in found.requested_by


def test_without_full_it_reads_what_changed_lately(sandbox: EmbeddedSandbox) -> None:
    sandbox.add_batch()
    assert run().startswith("Full sync: 1 batches seen")
    assert run().startswith("Incremental sync: 1 batches seen")
    assert [found.kind for found in SyncRun.objects.all()] == ["incremental", "full"]


def test_quiet_says_nothing(sandbox: EmbeddedSandbox, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--quiet") == ""
    assert capfd.readouterr().err == ""


def test_no_bar_is_drawn_into_a_file(
    sandbox: EmbeddedSandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    run("--full")
    assert "%" not in capfd.readouterr().err


def test_a_rejected_key_fails_with_what_it_means(
    sandbox: EmbeddedSandbox, settings: Settings
) -> None:
    settings.SYLLABLE_API_KEY = "another-key"
    with pytest.raises(CommandError, match=r"what it had read is kept\. .*key") as failed:
        run()
    assert failed.value.returncode == 1
    assert SyncRun.objects.get().key_rejected


def test_a_vendor_that_is_not_there_fails_with_its_address(settings: Settings) -> None:
    settings.SYLLABLE_BASE_URL = "http://127.0.0.1:9"
    with pytest.raises(CommandError, match=r"127\.0\.0\.1:9 cannot be reached"):
        run()


def test_a_second_sync_at_the_same_time_is_refused(sandbox: EmbeddedSandbox) -> None:
    now = timezone.now()
    SyncRun.objects.create(kind=SyncRun.Kind.FULL, started_at=now, alive_at=now)
    with pytest.raises(CommandError, match="Another sync is under way"):
        run("--full")


@pytest.mark.parametrize("arguments", [["--everything"], ["full"], ["--full=yes"]])
def test_arguments_that_it_does_not_know_are_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match=r"unrecognized arguments|ignored explicit argument"):
        run(*arguments)
    assert not SyncRun.objects.exists()
