"""The documented form of an entry is the one that is hashed, stored and read back."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchops import audit
from batchops.audit.canonical_form import (
    GENESIS,
    canonical_row,
    chain_hash,
    json_line,
    row_hash,
)
from batchops.models import AuditEntry
from batchops.services.trail.stored_rows import by_sequences
from tools import verify_audit_export

DOCUMENT = Path(__file__).parents[2] / "docs" / "audit-format.md"

texts = st.text(max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=4)
facts = st.builds(
    audit.Fact,
    action=st.text(min_size=1, max_size=30).map(lambda text: text.replace("\x00", "")),
    actor=st.builds(
        audit.Actor,
        name=texts,
        id=st.none() | st.integers(1, 2**40),
        kind=st.sampled_from(audit.ActorKind),
        on_behalf_of_name=texts,
        on_behalf_of_id=st.none() | st.integers(1, 2**40),
    ),
    batch_id=st.text("0123456789.ab", max_size=20),
    campaign_id=st.none() | st.integers(1, 2**40),
    campaign_name=texts,
    change_id=st.none() | st.uuids(),
    reason=texts,
    reference=texts,
    before=st.none() | objects,
    after=st.none() | objects,
    http_status=st.none() | st.integers(100, 599),
    detail=objects,
)


@pytest.mark.django_db
@settings(max_examples=60)
@given(fact=facts.filter(lambda fact: storable(fact)))
def test_whatever_is_recorded_reads_back_to_the_same_hash(fact: audit.Fact) -> None:
    entry = audit.record_now(fact)[0]
    row = by_sequences([entry.sequence])[0]
    assert row_hash(row) == row.hash == entry.hash
    stored = AuditEntry.objects.get(pk=entry.pk)
    assert audit.canonical(stored).decode() == canonical_row(row)
    line = json.loads(json_line(row))
    assert verify_audit_export.chain_hash(line) == row.hash
    assert set(line) == verify_audit_export.FIELDS | {"previous_hash", "hash"}


def storable(fact: audit.Fact) -> bool:
    """The action is a name of ours, never of an outsider's making."""
    return not re.search("[\ud800-\udfff]", str(fact.action))


def test_the_documented_example_has_the_documented_hash() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    example = re.search(r'^\{"action":"sync\.failed".*$', text, re.MULTILINE)
    documented = re.search(r"^[0-9a-f]{64}$", text, re.MULTILINE)
    assert example is not None
    assert documented is not None
    assert chain_hash(GENESIS, example[0].encode()) == documented[0]
    assert verify_audit_export.canonical(json.loads(example[0])).decode() == example[0]


def test_the_document_names_every_field() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in verify_audit_export.FIELDS | {"previous_hash", "hash"}:
        assert f"`{name}`" in text


@pytest.mark.django_db
def test_a_name_in_use_twice_is_seen_by_the_outsiders_verifier() -> None:
    entry = audit.record_now(
        audit.Fact("batch.applied", audit.SYSTEM, change_id=uuid.UUID(int=5), detail={"a": 1})
    )[0]
    line = json_line(by_sequences([entry.sequence])[0])
    with pytest.raises(verify_audit_export.Broken):
        verify_audit_export._object(line.replace('"a":1', '"a":2,"a":1').encode(), 2)
