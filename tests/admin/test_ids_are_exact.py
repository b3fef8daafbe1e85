"""Every id that the vendor may have goes through each door exactly as it is, and no other does."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import resolve, reverse
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchops.admin.ui.addresses import batch_id_in_form, batch_id_of, batch_key, form_value
from batchops.models import Batch, Change
from batchops.services.changes import id_lists, pasted_ids
from batchops.services.errors import InvalidInput
from tests.services.changes import world

pytestmark = pytest.mark.django_db

PASTE: Final = reverse("admin:batchops_batch_paste")
LIST: Final = reverse("admin:batchops_batch_changelist")
ODD: Final = (
    "20261116.10",
    " X ",
    '"X"',
    "X\u2028",
    "\ufeffX",
    "caf\u00e9",
    "cafe\u0301",
    "a/b?c#d%e&f",
    "..",
    ".",
    "%2e%2e",
    "_2E",
    "two\nlines",
    "two\r\nlines",
    "carriage\rreturn",
    "a,b;c\td",
    "batch_id",
    '{"batch_id": "X"}',
    "key:X",
    "-1",
    "--all",
    "   ",
    "\u200b",
    "x" * 255,
)

ids = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12
) | st.sampled_from(ODD)
"""Ids that the vendor may have: any text of up to 255 characters that a database can hold."""
few = st.lists(ids, min_size=1, max_size=4, unique=True)
examined = settings(max_examples=20)


@pytest.fixture(autouse=True)
def others(operator: User) -> None:
    """Batches that look like others: nothing must be taken for them."""
    for name in ("X", "x", "cafe", "two", "lines", "a", "b"):
        world.batch(name)


@pytest.fixture
def client(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def exists(name: str) -> str:
    if not Batch.objects.filter(pk=name).exists():
        world.batch(name)
    return name


def chosen(*words: str) -> list[str]:
    """The ids that the command line freezes into a change."""
    why = ("--reason", "why", "--as", "olivia", "--yes")
    call_command("change", "--pause", *words, *why, stdout=io.StringIO(), stderr=io.StringIO())
    change = Change.objects.latest("created_at")
    return list(change.items.values_list("batch_id", flat=True))


@examined
@given(names=few)
@example(names=list(ODD))
def test_on_the_command_line(names: list[str]) -> None:
    assert set(chosen(*(f"--batch={exists(name)}" for name in names))) == set(names)


@pytest.mark.once
@examined
@given(names=few)
@example(names=list(ODD))
def test_in_json_lines(names: list[str], tmp_path: Path) -> None:
    file = tmp_path / "ids.jsonl"
    lines = [
        json.dumps(exists(name) if index % 2 else {"batch_id": exists(name), "name": "x"})
        for index, name in enumerate(names)
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert set(chosen("--ids-from", str(file))) == set(names)


@pytest.mark.once
@examined
@given(names=few)
@example(names=list(ODD))
def test_in_csv_with_a_heading(names: list[str], tmp_path: Path) -> None:
    file = tmp_path / "ids.csv"
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(["name", "Batch ID"])
    writer.writerows(["x", exists(name)] for name in names)
    file.write_bytes(written.getvalue().encode())
    assert set(chosen("--ids-from", str(file))) == set(names)


def is_of_one_line(name: str) -> bool:
    return "\n" not in name and not name.endswith("\r")


def is_first_in_a_file(name: str) -> bool:
    return is_of_one_line(name) and not name.startswith("\ufeff")


@pytest.mark.once
@examined
@given(name=ids.filter(is_first_in_a_file))
def test_on_the_only_line_of_a_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_bytes(f"{exists(name)}\n".encode())
    assert chosen("--ids-from", str(file)) == [name]


@pytest.mark.once
@examined
@given(names=few)
@example(names=list(ODD))
def test_on_the_lines_of_a_file_of_windows(names: list[str], tmp_path: Path) -> None:
    names = ["X", *filter(is_of_one_line, names)]
    file = tmp_path / "ids.txt"
    file.write_bytes("\r\n".join(["\ufeffX", *map(exists, names)]).encode())
    assert set(chosen("--ids-from", str(file))) == set(names)


@examined
@given(names=few)
@example(names=list(ODD))
def test_in_the_paste_box(client: Client, names: list[str]) -> None:
    names = [name for name in names if not {"\r", "\n"} & set(name)] or ["X"]
    pasted = "\r\n".join(map(exists, names))
    address = client.post(PASTE, {"batch_ids": f"{pasted}\r\n"})["Location"]
    found = client.get(address).context["cl"].result_list
    assert {batch.pk for batch in found} == set(names)


def as_a_browser_sends(value: str) -> str:
    """What becomes of the line breaks of a form's value."""
    return value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


@examined
@given(names=few)
@example(names=list(ODD))
def test_by_its_box_in_the_list(client: Client, names: list[str]) -> None:
    Change.objects.all().delete()
    sent = [as_a_browser_sends(form_value(exists(name))) for name in names]
    assert [batch_id_in_form(value) for value in sent] == names
    data = {"action": "pause", "index": "0", "select_across": "0", "_selected_action": sent}
    client.post(LIST, data)
    assert set(Change.objects.get().items.values_list("batch_id", flat=True)) == set(names)


@examined
@given(names=few)
@example(names=list(ODD))
def test_in_the_addresses_of_pages(client: Client, names: list[str]) -> None:
    for name in names:
        assert batch_id_of(batch_key(exists(name))) == name
        address = reverse("admin:batchops_batch_change", args=[batch_key(name)])
        segments = [unquote(part) for part in urlsplit(address).path.split("/")]
        assert not {".", ".."} & set(segments)
        assert not {"?", "#", "\n", "\r", "\t", " "} & set(address)
        match = resolve(unquote(address))
        assert batch_id_of(match.kwargs["object_id"]) == name
    page = client.get(address)
    assert page.context["batch"].pk == names[-1]


@examined
@given(first=ids, second=ids)
def test_no_two_ids_share_an_address_or_a_box(first: str, second: str) -> None:
    assert (batch_key(first) == batch_key(second)) == (first == second)
    assert (form_value(first) == form_value(second)) == (first == second)


@pytest.mark.parametrize(
    "name", ['"X"', "X ", " X", "\u2028X", "X\u2028", "\ufeffX", "\xa0X", "X\r"]
)
@pytest.mark.parametrize("door", ["argument", "file", "json"])
def test_a_look_alike_is_asked_about_and_nothing_is_done(
    name: str, door: str, tmp_path: Path
) -> None:
    words = [f"--batch={name}"]
    if door != "argument":
        file = tmp_path / f"ids.{'jsonl' if door == 'json' else 'txt'}"
        line = json.dumps(name) if door == "json" else f"b\n{name}\n"
        file.write_bytes(line.encode())
        words = ["--ids-from", str(file)]
    if (name, door) == ("X\r", "file"):
        return  # That is how a line of a Windows file ends.
    with pytest.raises(CommandError) as refused:
        chosen(*words)
    assert refused.value.returncode == 2
    assert "The mirror knows no batch" in str(refused.value)
    assert "do you mean 'X' or 'x'?" in str(refused.value)
    assert not Change.objects.exists()


@pytest.mark.parametrize("name", ["\udcff", "X\udcff", "X\0", "", "x" * 4_000])
def test_what_no_batch_can_be_called_is_named_as_unknown(name: str, tmp_path: Path) -> None:
    file = tmp_path / "ids.jsonl"
    file.write_text(json.dumps({"batch_id": name}) + "\n")
    for words in ([f"--batch={name}"], ["--ids-from", str(file)]):
        with pytest.raises(CommandError) as refused:
            chosen(*words)
        assert refused.value.returncode == 2
    assert not Change.objects.exists()


def test_every_batch_that_is_named_counts_and_a_choice_given_twice_is_refused() -> None:
    assert set(chosen("--batch", "X", "--batch", "x", "a")) == {"X", "x", "a"}
    for option in ("--campaign", "--status", "--ids-from"):
        with pytest.raises(CommandError, match="given more than once"):
            chosen(option, "1", option, "2")


def test_a_status_and_a_campaign_are_exact_too() -> None:
    Batch.objects.filter(pk="a").update(status="Sleeping")
    assert chosen("--status", "Sleeping") == ["a"]
    with pytest.raises(CommandError, match="There are: ACTIVE, Sleeping"):
        chosen("--status", "sleeping")
    with pytest.raises(CommandError, match=r"Do you mean 'Campaign 1'\?"):
        chosen("--campaign", "campaign 1")
    world.campaign(7, campaign_name="1")
    with pytest.raises(CommandError, match="may be more than one campaign"):
        chosen("--campaign", "1")


@pytest.mark.parametrize(
    ("text", "form", "read"),
    [
        ('"a"\n"b"', None, ['"a"', '"b"']),
        ('"a"\n"b"', pasted_ids.Form.JSON_LINES, ["a", "b"]),
        ('"a"\n{"batch_id": "b"}', None, ["a", "b"]),
        ('batch_id\n"a"\n', None, ["a"]),
        ('batch_id\n"a"\n', pasted_ids.Form.LINES, ["batch_id", '"a"']),
        ('id\n"a"\n', None, ["id", '"a"']),
        ("a\x85b\x0bc\x0cd\u2029e", None, ["a\x85b\x0bc\x0cd\u2029e"]),
    ],
)
def test_the_form_of_a_list_is_what_it_says(
    text: str, form: pasted_ids.Form | None, read: list[str]
) -> None:
    assert pasted_ids.read(text, form) == read


def test_a_line_that_is_a_batch_as_it_stands_is_taken_for_nothing_else() -> None:
    for name in ('{"batch_id": "X"}', "batch_id"):
        world.batch(name)
        assert pasted_ids.read(f"{name}\nX") == [name, "X"]


@examined
@given(text=st.text(max_size=60))
def test_no_text_breaks_the_reading(text: str) -> None:
    for form in (None, *pasted_ids.Form):
        try:
            given_ids = pasted_ids.read(text, form)
        except InvalidInput:
            continue
        assert all(given_ids)
    assert id_lists.fold(id_lists.fold(text)) == id_lists.fold(text)
