"""Four processes that write at once make one chain: no fork, no gap, no deadlock."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.db import connection

from batchops.models import AuditEntry
from batchops.services.proof.verification import verify

PROCESSES = 4
TRANSACTIONS = 25
SECONDS = 120

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_trail")]


def test_four_processes_write_one_chain() -> None:
    name = str(connection.settings_dict["NAME"])
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.audit.writer", name, str(process), str(TRANSACTIONS)]
        )
        for process in range(PROCESSES)
    ]
    try:
        assert [writer.wait(SECONDS) for writer in writers] == [0] * PROCESSES
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    kept = PROCESSES * (TRANSACTIONS - TRANSACTIONS // 5) * 4
    verdict = verify()
    assert verdict.is_good, verdict
    assert (verdict.first, verdict.last, verdict.rows) == (1, kept, kept)
    assert AuditEntry.objects.values("reference").distinct().order_by().count() == PROCESSES
