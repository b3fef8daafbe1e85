"""The batch list as a file: what it holds, in which order, and that nobody's text does anything."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from batchops import audit
from batchops.models import Action, AuditEntry, Batch, Change, Hold
from batchops.services.errors import InvalidInput, NotAllowed
from batchops.services.holds import moves
from batchops.services.table_files import batch_list
from batchops.services.table_files.batch_list import BatchFileFormat
from tests.services.changes import world
from tests.services.trail_files.exported import HOSTILE

pytestmark = pytest.mark.django_db(transaction=True)

EXPORT = reverse("admin:batchops_batch_export")


def exported(user: User, kind: BatchFileFormat, batches: Any = None) -> bytes:
    found = Batch.objects.order_by("pk") if batches is None else batches
    made = batch_list.export(
        found, kind, user=user, actor=audit.Actor.of_user(user), description="all"
    )
    return b"".join(made.chunks)


def sheet_of(book: bytes) -> ElementTree.Element:
    with zipfile.ZipFile(io.BytesIO(book)) as file:
        return ElementTree.fromstring(file.read("xl/worksheets/sheet1.xml"))


def test_every_kind_holds_the_same_batches(operator: User) -> None:
    ahead = dt.datetime(2027, 1, 4, 8, tzinfo=dt.UTC)
    world.batch("a", expires_on=ahead, call_rate=7)
    world.batch("b")
    change = world.ended(operator, batches=Batch.objects.filter(pk="b"))
    Change.objects.filter(pk=change.pk).update(reason="wrong list", resume_at=ahead)
    text = exported(operator, BatchFileFormat.CSV).decode("utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(text)))
    rows = json.loads(exported(operator, BatchFileFormat.JSON))
    texts = [one.text for one in sheet_of(exported(operator, BatchFileFormat.XLSX)).iter()]
    assert [row["batch_id"] for row in rows] == ["a", "b"] == [line["batch_id"] for line in lines]
    assert [text for text in texts if text in ("batch_id", "a", "b")] == ["batch_id", "a", "b"]
    assert (rows[0]["expires_on"], rows[0]["call_rate"]) == ("2027-01-04T08:00:00Z", 7)
    paused = {"paused": True, "paused_by": "olivia", "pause_reason": "wrong list"}
    assert paused.items() <= rows[1].items()
    assert lines[1]["paused_until"] == rows[1]["paused_until"] == "2027-01-04T08:00:00Z"


def test_several_holds_are_all_told_and_end_with_the_last(
    operator: User, make_person: Callable[..., User], django_assert_max_num_queries: Any
) -> None:
    ben = make_person("ben", "Operator")
    soon, later = (dt.datetime(2027, 1, day, 8, tzinfo=dt.UTC) for day in (4, 9))
    for name in ("both", "endless", "outside"):
        world.batch(name)
    first = world.ended(operator, batches=Batch.objects.filter(pk__in=["both", "endless"]))
    Change.objects.filter(pk=first.pk).update(reason="wrong list", resume_at=later)
    for name, end in (("both", soon), ("endless", None)):
        change = world.draft(ben, batches=Batch.objects.filter(pk=name))
        Change.objects.filter(pk=change.pk).update(
            state="finished", reason="complaints", resume_at=end
        )
        moves.place(change, [name], {})
    Batch.objects.filter(pk="outside").update(paused=True)
    Hold.objects.create(batch_id="outside", outside_name="zoe", placed_at=soon)
    with django_assert_max_num_queries(12):
        rows = json.loads(exported(operator, BatchFileFormat.JSON))
    names = ("holds", "paused_by", "paused_until", "pause_reason")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (2, "olivia; ben", "2027-01-09T08:00:00Z", "wrong list; complaints"),
        (2, "olivia; ben", None, "wrong list; complaints"),
        (1, "outside batchops (zoe)", None, ""),
    ]


def test_what_strangers_wrote_is_text_in_each_of_them(operator: User) -> None:
    for number, text in enumerate(HOSTILE):
        world.batch(f"b-{number:02}", last_updated_by=text)
    lines = exported(operator, BatchFileFormat.CSV).decode("utf-8-sig")
    for row in csv.DictReader(io.StringIO(lines, newline="")):
        assert row["last_updated_by"].strip()[:1] not in tuple("=+-@\uff1d\t\r")
    rows = json.loads(exported(operator, BatchFileFormat.JSON))
    assert [row["last_updated_by"] for row in rows] == list(HOSTILE)
    tags = {
        one.tag.rpartition("}")[2]
        for one in sheet_of(exported(operator, BatchFileFormat.XLSX)).iter()
    }
    assert not {"f", "hyperlink"} & tags


def test_the_page_exports_what_its_address_shows_in_its_order(
    client: Client, operator: User
) -> None:
    client.force_login(operator)
    for name, rate in (("a", 3), ("b", 1), ("c", 2)):
        world.batch(name, call_rate=rate)
    world.batch("failed", status="FAILED")
    response = client.post(f"{EXPORT}?show=on&o=7", {"kind": "json"})
    rows = json.loads(b"".join(response.streaming_content))  # type: ignore[attr-defined]
    assert [row["batch_id"] for row in rows] == ["b", "c", "a"]
    entry = AuditEntry.objects.latest("sequence")
    assert entry.action == Action.BATCHES_EXPORTED
    assert entry.detail == {"batches": 3, "filter": "show: Live, not paused", "kind": "json"}
    assert entry.actor_name == "olivia"


def test_what_cannot_be_exported_leaves_no_file_and_no_entry(
    client: Client, operator: User
) -> None:
    stranger = User.objects.create_user("nina", is_staff=True)
    last = AuditEntry.objects.latest("sequence").sequence
    with pytest.raises(InvalidInput):
        exported(operator, BatchFileFormat.CSV)
    world.batch()
    with pytest.raises(NotAllowed):
        exported(stranger, BatchFileFormat.CSV)
    client.force_login(operator)
    assert client.post(f"{EXPORT}?show=on", {"kind": "exe"})["Location"].endswith("?show=on")
    assert client.post(f"{EXPORT}?nonsense=1", {"kind": "csv"}).status_code == 400
    assert client.get(EXPORT).status_code == 405
    made = AuditEntry.objects.filter(sequence__gt=last, action=Action.BATCHES_EXPORTED)
    assert not made.exists()
    client.force_login(stranger)
    assert client.post(EXPORT, {"kind": "csv"}).status_code == 403
