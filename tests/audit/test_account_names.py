"""Names of accounts: none passes for the system, or for another account."""

from __future__ import annotations

import io

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from batchops.audit import Actor, Fact, record_now
from batchops.models import Action
from batchops.services import account_names

pytestmark = pytest.mark.django_db

FALSE_NAMES = {
    "the system": "batchops",
    "in another case": "BatchOps",
    "with separators": "batch.ops",
    "with a number": "vendor-2",
    "with more": "the-batchops",
    "in Cyrillic": "\u0455\u0443\u0455\u0442\u0435\u043c",
    "with a digit for a letter": "w0rker",
    "an account's in another case": "Olivia",
    "an account's, one letter Cyrillic": "\u043elivia",
    "an account's, i for l": "oiivia",
    "an account's, 1 for l": "o1ivia",
    "an account's, with a dot below": "o\u1e37ivia",
    "two alphabets": "anna\u0431",
    "full width": "\uff41nna",
    "a mathematical letter": "\U0001d41anna",
    "a zero-width joiner": "an\u200dna",
    "a filler of which nothing is seen": "anna\u3164",
    "a line end": "anna\n",
    "a blank": "anna b",
    "another direction": "\u202eanna",
    "nothing": "",
}


@pytest.mark.parametrize("name", FALSE_NAMES.values(), ids=FALSE_NAMES)
def test_a_false_name_is_refused_however_the_account_is_made(operator: User, name: str) -> None:
    with pytest.raises(ValidationError):
        User.objects.create(username=name)
    renamed = User.objects.create_user("anna")
    renamed.username = name
    with pytest.raises(ValidationError):
        renamed.save()
    assert set(User.objects.values_list("username", flat=True)) == {"olivia", "anna"}


@pytest.mark.parametrize(
    "name",
    ["otto", "anna.b", "o.liv", "m\u00fcller", "\u0430\u043d\u043d\u0430", "vendor@acme.org", "a2"],
)
def test_other_names_are_fine(operator: User, name: str) -> None:
    assert User.objects.create_user(name).username == name


def test_an_account_that_has_its_name_already_can_still_be_saved(operator: User) -> None:
    User.objects.filter(pk=operator.pk).update(username="system")
    operator.refresh_from_db()
    operator.first_name = "Olivia"
    operator.save()


@pytest.mark.parametrize("leave", ["delete", "rename"])
def test_nobody_inherits_the_deeds_of_an_account_that_left_its_name(
    operator: User, leave: str
) -> None:
    record_now(Fact(Action.ACCOUNT_SIGNED_IN, Actor.of_user(operator, "")))
    if leave == "delete":
        operator.delete()
    else:
        operator.username = "oona"
        operator.save()
    with pytest.raises(ValidationError, match="The audit trail shows this name"):
        User.objects.create_user("olivia")
    User.objects.create_user("olaf")


def test_the_admin_and_createsuperuser_say_what_is_wrong(administrator: User) -> None:
    client = Client()
    client.force_login(administrator)
    form = {
        "username": "\u0430\u0501\u0430",
        "password1": "a-long-pass-9",
        "password2": "a-long-pass-9",
    }
    form["usable_password"] = "true"
    page = client.post(reverse("admin:auth_user_add"), form).content.decode()
    assert "looks like that of the account “ada”" in page
    with pytest.raises(CommandError, match="could be mistaken for batchops"):
        call_command(
            *("createsuperuser", "--no-input", "--username=system", "--email=x@example.com"),
            stdout=io.StringIO(),
            stderr=io.StringIO(),
        )
    assert User.objects.count() == 1


@given(st.text(max_size=12))
def test_whatever_is_taken_for_a_name_is_plain_and_its_own(name: str) -> None:
    try:
        account_names.check(name)
    except ValidationError:
        return
    assert name == name.strip()
    assert name.isprintable()
