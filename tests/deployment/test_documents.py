"""The documents say what the code does: their tables, their links, and the way of one batch."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path
from types import FrameType

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from batchops.audit.canonical_form import Row
from batchops.models import AuditEntry, Change, ChangeState, ItemState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import sync
from batchops.tasks import LANES
from tests.deployment.loading import BASE
from tools import pictures, reference

DOCS = BASE / "docs"
DOCUMENTS = [*BASE.glob("*.md"), *DOCS.rglob("*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def first_cells(document: str, heading: str) -> list[str]:
    """What stands in code in the first column of the table under a heading of its own."""
    _, _, rest = (DOCS / document).read_text().partition(f"| {heading} |")
    rows = rest.split("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def test_the_tables_of_the_reference_are_as_the_code_is() -> None:
    text = reference.DOCUMENT.read_text()
    assert text == reference.document(text), "run: python -m tools.reference"


def test_the_states_are_those_of_the_code_in_its_order() -> None:
    assert first_cells("reference.md", "state of a change") == ChangeState.values
    assert sorted(first_cells("reference.md", "state of an item")) == sorted(ItemState.values)


def test_the_format_of_an_entry_names_each_of_its_fields() -> None:
    assert first_cells("audit-format.md", "field") == list(Row._fields)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(BASE)))
def test_each_link_leads_to_a_file_and_a_heading_that_are_there(document: Path) -> None:
    dead = []
    for link in LINK.findall(document.read_text()):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (heading and heading not in headings(target)):
            dead.append(link)
    assert dead == []


def headings(document: Path) -> set[str]:
    """The anchors of a document's headings, as hosts of repositories make them."""
    found = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_each_picture_is_shown_and_small() -> None:
    shown = {
        (document.parent / link).resolve()
        for document in DOCUMENTS
        for link in LINK.findall(document.read_text())
        if link.endswith(".png")
    }
    assert shown == set(pictures.FOLDER.glob("*.png"))
    assert max(path.stat().st_size for path in shown) <= pictures.LARGEST


class Steps:
    """Notes which of some functions are called, in the order of their first calls."""

    def __init__(self, functions: set[tuple[str, str]]) -> None:
        self.functions, self.called = functions, list[tuple[str, str]]()

    def note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        step = (code.co_filename.removeprefix(f"{BASE}/"), code.co_qualname)
        if event == "call" and step in self.functions and step not in self.called:
            self.called.append(step)


@pytest.mark.django_db(transaction=True)
def test_a_pause_takes_the_way_that_the_walk_describes(
    sandbox: EmbeddedSandbox, operator: User, client: Client
) -> None:
    walk = re.findall(
        r"^\| \d \| `([\w/.]+)` `([\w.]+)` \|", (DOCS / "architecture.md").read_text(), re.MULTILINE
    )
    assert 5 <= len(walk) <= 8
    sandbox.add_batch(batch_id="20261124.7", campaign_id=1, status="ACTIVE", paused=False)
    sync.run_sync(SyncRun.Kind.FULL)
    client.force_login(operator)
    steps = Steps(set(walk))
    threading.setprofile(steps.note)
    sys.setprofile(steps.note)
    try:
        client.post(
            reverse("admin:batchops_batch_changelist"),
            {"action": "pause", "index": "0", "_selected_action": "20261124.7"},
        )
        change = Change.objects.get()
        page = reverse("admin:batchops_change_preview", args=[change.pk])
        client.post(page, {"reason": "wrong list", "seen": change.fingerprint})
        LANES["push"].step()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert steps.called == walk
    assert sandbox.batch("20261124.7")["paused"] is True
    assert AuditEntry.objects.filter(action="batch.applied", batch_id="20261124.7").exists()
