"""A second factor: added, asked for at the sign-in, each code once, and lost."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django import Settings

from batchops.accounts.factors import codes, factors
from batchops.accounts.models import SecondFactor, Session
from batchops.models import AuditEntry
from tests.accounts.apps import code_of, secret_on, with_app
from tests.audit.trail import MOMENT
from tests.audit.world import as_

pytestmark = pytest.mark.django_db

APP_PAGE = "/account/second-factors/app/"
STEP = "/login/second-step/"


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(MOMENT, tick=False) as clock:
        yield clock


def first_step(client: Client, name: str = "olivia", after: str = "") -> Any:
    form = {"username": name, "password": "password", "next": after}
    return client.post("/login/", form)


def is_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


def recovery_codes_on(page: str) -> list[str]:
    return re.findall(r"<code>((?:[a-z2-9]{4}-){3}[a-z2-9]{4})</code>", page)


def test_an_app_is_added_with_its_code_and_from_then_on_the_sign_in_asks(
    operator: User, clock: Any
) -> None:
    client, other = Client(), Client()
    first_step(client), first_step(other)
    secret = secret_on(client.get(APP_PAGE).content.decode())
    picture = client.get(f"{APP_PAGE}picture.svg")
    assert picture["Content-Type"] == "image/svg+xml"
    assert b"<path" in picture.content
    assert b"style" not in picture.content
    wrong = client.post(APP_PAGE, {"code": "000000"}).content.decode()
    assert "This is not the code" in wrong
    assert secret_on(wrong) == secret, "the same key, which the app has read already"
    page = client.post(APP_PAGE, {"code": code_of(secret), "name": "phone"}).content.decode()
    assert len(set(recovery_codes_on(page))) == 10
    assert (is_in(client), is_in(other)) == (True, False)
    assert client.get(f"{APP_PAGE}picture.svg").status_code == 404
    stored = str(list(SecondFactor.objects.values())) + str(list(Session.objects.values()))
    assert secret not in stored
    assert recovery_codes_on(page)[0].replace("-", "") not in stored

    clock.shift(60)
    browser = Client()
    step = first_step(browser, after="/batchops/batch/")
    assert step["Location"].startswith(STEP)
    assert not is_in(browser)
    answer = browser.post(step["Location"], {"code": code_of(secret)})
    assert answer["Location"] == "/batchops/batch/"
    entry = AuditEntry.objects.filter(action="account.signed_in").latest("sequence")
    assert entry.detail["method"] == "password and authenticator app"


def test_each_code_counts_once_and_a_clock_may_be_half_a_minute_off(
    operator: User, clock: Any
) -> None:
    secret = with_app(operator)
    assert codes.take(operator, code_of(secret, -2)) is None
    assert codes.take(operator, code_of(secret, -1)) == SecondFactor.Kind.APP
    assert codes.take(operator, code_of(secret, -1)) is None
    code = code_of(secret)
    assert codes.take(operator, f" {code[:3]} {code[3:]} ") == SecondFactor.Kind.APP
    assert codes.take(operator, code) is None
    assert codes.take(operator, code_of(secret, 2)) is None
    for nonsense in ("", "\0", "१२३४५६", "9" * 500, "-"):
        assert codes.take(operator, nonsense) is None


def test_a_recovery_code_signs_in_once_and_new_ones_end_the_old(operator: User) -> None:
    with_app(operator)
    old = factors.renew_recovery_codes(operator, actor=as_(operator)["actor"])
    for code, gets_in in ((old[0].upper().replace("-", " "), True), (old[0], False)):
        client = Client()
        first_step(client)
        page = client.post(STEP, {"code": code}, follow=True).content.decode()
        assert is_in(client) is gets_in
        assert ("9 are left" in page) is gets_in
    factors.renew_recovery_codes(operator, actor=as_(operator)["actor"])
    assert codes.take(operator, old[1]) is None


def test_guessing_a_code_is_held_back_and_recorded_also_on_a_known_device(operator: User) -> None:
    secret, client = with_app(operator), Client()
    first_step(client)
    client.post(STEP, {"code": code_of(secret)})
    client.post("/logout/")
    first_step(client)
    pages = [client.post(STEP, {"code": "000000"}).content.decode() for _ in range(6)]
    assert ["Too many tries" in page for page in pages] == [False] * 5 + [True]
    failed = AuditEntry.objects.filter(action="account.sign_in_failed", actor_name="olivia")
    assert {one.detail["why"] for one in failed} == {"The first step was right, the code was not."}
    assert failed.count() == 5
    assert not is_in(client)


def test_half_a_sign_in_lasts_five_minutes_and_not_beyond_a_change_of_password(
    operator: User, clock: Any
) -> None:
    secret, client, other = with_app(operator), Client(), Client()
    first_step(client)
    clock.shift(dt.timedelta(minutes=6))
    assert client.post(STEP, {"code": code_of(secret)})["Location"].startswith("/login/?")
    first_step(other)
    operator.set_password("another-password")
    operator.save()
    assert other.post(STEP, {"code": code_of(secret)})["Location"].startswith("/login/?")
    assert not is_in(other)
    assert Client().get(STEP).status_code == 302
    assert Client().get(f"{STEP}?next=//evil.example.com/")["Location"] == "/login/?next=%2F"


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        (["nobody"], set()),
        (["changers"], {"olivia", "amir", "audrey", "ada"}),
        (["everyone"], {"olivia", "amir", "audrey", "ada", "victor"}),
        (["Approver", "Auditor"], {"amir", "audrey", "ada"}),
    ],
)
def test_who_needs_one_gets_no_further_without(
    rule: list[str],
    asked: set[str],
    settings: Settings,
    operator: User,
    approver: User,
    auditor: User,
    viewer: User,
    administrator: User,
) -> None:
    settings.MFA_REQUIRED_FOR = rule
    for person in (operator, approver, auditor, viewer, administrator):
        client = Client()
        client.force_login(person)
        answer = client.get("/batchops/batch/")
        to = answer["Location"] if answer.status_code == 302 else ""
        assert to == ("/account/second-factors/" if person.username in asked else "")
        assert client.get("/account/second-factors/").status_code == 200
        assert client.post("/batchops/change/emergency/").status_code in (302, 403)
    if asked:
        secret = secret_on(client.get(APP_PAGE).content.decode())
        client.post(APP_PAGE, {"code": code_of(secret)})
        assert client.get("/batchops/batch/").status_code == 200
        pk = factors.of_user(administrator)[0].pk
        page = client.post(f"/account/second-factors/{pk}/remove/", follow=True).content.decode()
        assert "Your role needs a second factor" in page


def test_whoever_keeps_accounts_resets_it_for_whom_they_stand_above(
    administrator: User, operator: User, make_person: Callable[..., User]
) -> None:
    with_app(operator)
    keeper, above = Client(), Client()
    kim = make_person("kim")
    kim.user_permissions.set(Permission.objects.filter(codename="change_user"))
    keeper.force_login(kim)
    above.force_login(administrator)
    page, reset = f"/auth/user/{operator.pk}/sessions/", {"which": "reset-second-factor"}
    assert keeper.post(page, reset).status_code == 403
    assert factors.has_any(operator)
    above.post(page, reset)
    assert not SecondFactor.objects.filter(user=operator).exists()
    first_step(client := Client())
    assert is_in(client)


def test_after_a_new_secret_key_the_old_one_still_opens_what_it_sealed(
    operator: User, settings: Settings
) -> None:
    secret = with_app(operator)
    written = factors.renew_recovery_codes(operator, actor=as_(operator)["actor"])
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert codes.take(operator, code_of(secret)) == SecondFactor.Kind.APP
    assert codes.take(operator, written[0]) == SecondFactor.Kind.RECOVERY
    settings.SECRET_KEY_FALLBACKS = []
    assert codes.take(operator, code_of(secret, 1)) is None
    assert codes.take(operator, written[1]) is None
