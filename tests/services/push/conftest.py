"""Waits that are seconds in real life are moments here."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from batchops.services.push import database_outage, denials, outages, policy
from batchops.services.runs import run_state
from batchops.syllable import client, limits


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.SYLLABLE_CONNECT_TIMEOUT = 1.0
    settings.SYLLABLE_TIMEOUT = 2.0
    settings.PUSH_LEASE_SECONDS = 2
    monkeypatch.setattr(run_state, "WAITS_SECONDS", (0.3,))
    monkeypatch.setattr(policy, "RETRY_CAP_SECONDS", 0.05)
    monkeypatch.setattr(denials, "DENIALS_KEPT_SECONDS", 0.3)
    monkeypatch.setattr(outages, "DOWN_AFTER_SECONDS", 0.5)
    monkeypatch.setattr(outages, "FAILING_FOR_SECONDS", 1.0)
    monkeypatch.setattr(database_outage, "LONGEST_OUTAGE_SECONDS", 0.5)
    monkeypatch.setattr(limits, "GATE_CAP_SECONDS", 0.1)

    def hardly_any_delay(*_: Any) -> float:
        return 0.01

    monkeypatch.setattr(client, "_delay", hardly_any_delay)
