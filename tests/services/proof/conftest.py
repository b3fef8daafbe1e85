"""Trails that are signed."""

from __future__ import annotations

import base64

import pytest
from pytest_django import Settings

from batchops.services.proof import anchoring
from batchops.services.proof.anchoring import Anchor
from tests.audit import trail

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def signing(settings: Settings) -> Settings:
    settings.AUDIT_SIGNING_KEY = KEY
    settings.AUDIT_ANCHOR_INTERVAL = 3600
    return settings


@pytest.fixture
def anchored(empty_trail: None, signing: Settings) -> list[Anchor]:
    """Three times three entries and their anchor (entries 4, 8 and 12), and two entries more."""
    anchors = []
    for _ in range(3):
        trail.fill(3)
        anchor = anchoring.anchor_head()
        assert anchor is not None
        anchors.append(anchor)
    trail.fill(2)
    return anchors
