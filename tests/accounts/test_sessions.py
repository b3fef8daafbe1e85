"""Sessions end when they are not used, after their longest time, and when somebody ends them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from batchops.accounts import browsers, sessions
from batchops.accounts.models import Session
from batchops.models import AuditEntry

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
MORNING = "2026-03-24T06:00Z"
BY_SCRIPT = {"Sec-Fetch-Dest": "empty"}


def signed_in(user: User, address: str = "198.51.100.7", browser: str = FIREFOX) -> Client:
    client = Client(REMOTE_ADDR=address, HTTP_USER_AGENT=browser)
    form = {"username": user.username, "password": "password"}
    assert client.post("/login/", form).status_code == 302
    return client


def is_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


def ended() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action="account.session_ended").order_by("sequence"))


def test_a_session_ends_when_it_is_not_used_for_half_an_hour(operator: User) -> None:
    with time_machine.travel(MORNING, tick=False) as clock:
        client = signed_in(operator)
        for _ in range(3):
            clock.shift(dt.timedelta(minutes=29))
            assert is_in(client)
        clock.shift(dt.timedelta(minutes=31))
        assert not is_in(client)
        sessions.end_due()
    assert not Session.objects.exists()
    (entry,) = ended()
    assert entry.who == "batchops, for olivia"
    assert entry.detail["why"] == "it was not used"
    assert entry.detail["ended"] == ["Firefox 128 on Linux at 198.51.100.7"]


def test_and_after_twelve_hours_however_much_it_is_used(operator: User) -> None:
    with time_machine.travel(MORNING, tick=False) as clock:
        client = signed_in(operator)
        for _ in range(35):
            clock.shift(dt.timedelta(minutes=20))
            client.session.save()
            assert is_in(client)
        assert client.get("/account/session/").json()["left"] == 20 * 60
        clock.shift(dt.timedelta(minutes=20))
        assert not is_in(client)
        sessions.end_due()
    assert [entry.detail["why"] for entry in ended()] == ["the longest time was over"]


def test_a_page_that_asks_by_itself_does_not_keep_a_session_alive(operator: User) -> None:
    with time_machine.travel(MORNING, tick=False) as clock:
        client = signed_in(operator)
        clock.shift(dt.timedelta(minutes=20))
        assert client.get("/account/session/", headers=BY_SCRIPT).json()["left"] == 600
        assert client.post("/account/session/stay/", headers=BY_SCRIPT).json()["left"] == 1800
        clock.shift(dt.timedelta(minutes=29))
        assert client.get("/account/session/", headers=BY_SCRIPT).json()["left"] == 60
        clock.shift(dt.timedelta(minutes=2))
        assert client.get("/account/session/", headers=BY_SCRIPT).status_code == 302


def test_the_list_shows_browser_and_the_last_address_and_never_a_key(operator: User) -> None:
    with time_machine.travel(MORNING, tick=False) as clock:
        client, other = signed_in(operator), signed_in(operator, "203.0.113.9", "curl/8")
        clock.shift(dt.timedelta(minutes=5))
        other.get("/account/", REMOTE_ADDR="203.0.113.77")
        page = client.get("/account/").content.decode()
    for shown in ("Firefox 128 on Linux", "curl/8", "203.0.113.77", "this session"):
        assert shown in page
    for session in Session.objects.all():
        assert session.session_key not in page
        assert session.session_key not in str(session)


def test_a_person_ends_one_of_their_sessions_or_all_others_and_nobody_elses(
    operator: User, approver: User
) -> None:
    client, second, third = (signed_in(operator) for _ in range(3))
    stranger = signed_in(approver)
    handle = Session.objects.get(pk=second.session.session_key).handle
    stranger.post("/account/sessions/end/", {"which": handle})
    assert is_in(second)
    client.post("/account/sessions/end/", {"which": handle})
    assert not is_in(second)
    client.post("/account/sessions/end/", {"which": "others"})
    assert (is_in(client), is_in(third), is_in(stranger)) == (True, False, True)
    client.post("/account/sessions/end/", {"which": "all"})
    assert not is_in(client)
    assert [(one.actor_name, len(one.detail["ended"])) for one in ended()] == [("olivia", 1)] * 3


def gain_a_group(user: User) -> None:
    user.groups.add(Group.objects.get(name="Auditor"))


def lose_a_group_with_it(user: User) -> None:
    user.groups.get().delete()


def gain_a_permission(user: User) -> None:
    user.user_permissions.add(Permission.objects.get(codename="archive_auditentry"))


def be_deactivated(user: User) -> None:
    user.is_active = False
    user.save()


def get_a_new_password(user: User) -> None:
    user.set_password("another-password")
    user.save()


@pytest.mark.parametrize(
    "change",
    [gain_a_group, lose_a_group_with_it, gain_a_permission, be_deactivated, get_a_new_password],
)
def test_what_changes_an_account_ends_its_sessions_at_once(
    operator: User, change: Callable[[User], None]
) -> None:
    client = signed_in(operator)
    change(operator)
    assert not Session.objects.filter(user=operator).exists()
    User.objects.update(is_active=True)
    assert not is_in(client), "also when the account is active again"
    assert len(ended()) == 1


def test_whoever_changes_their_own_password_stays_signed_in_here_alone(operator: User) -> None:
    client, other = signed_in(operator), signed_in(operator)
    new = {"new_password1": "a-long-passphrase-9", "new_password2": "a-long-passphrase-9"}
    client.post("/password_change/", {"old_password": "password", **new})
    assert (is_in(client), is_in(other)) == (True, False)


def test_who_keeps_accounts_ends_the_sessions_of_those_they_stand_above(
    administrator: User, operator: User, make_person: Callable[..., User]
) -> None:
    keeper = make_person("kim")
    keeper.user_permissions.set(Permission.objects.filter(codename="change_user"))
    client, page = signed_in(operator), f"/auth/user/{operator.pk}/sessions/"
    assert signed_in(keeper).post(page, {"which": "all"}).status_code == 403
    assert is_in(client)
    above = signed_in(administrator)
    assert "Firefox 128" in above.get(page).content.decode()
    above.post(page, {"which": "all"})
    assert not is_in(client)
    assert ended()[-1].detail["account"] == "olivia"


def test_the_entry_of_a_sign_in_tells_how_and_with_what_and_that_of_a_failure_why(
    operator: User,
) -> None:
    signed_in(operator)
    entry = AuditEntry.objects.get(action="account.signed_in")
    assert entry.detail == {"method": "password", "browser": "Firefox 128 on Linux"}
    operator.is_active = False
    operator.save()
    for name in ("olivia", "nobody"):
        Client().post("/login/", {"username": name, "password": "password"})
    failed = AuditEntry.objects.filter(action="account.sign_in_failed").order_by("sequence")
    assert [one.detail["why"] for one in failed] == [
        "The account is deactivated.",
        "There is no such account.",
    ]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (FIREFOX, "Firefox 128 on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge 140 on Windows",
        ),
        (
            "(iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604",
            "Safari 18 on iPhone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36",
            "Chrome 140 on Android",
        ),
        ("curl/8\x00\n<b>", "curl/8  <b>"),
        ("x" * 9_999, "x" * 100),
        ("", ""),
    ],
)
def test_a_browser_is_called_what_it_says_it_is(told: str, words: str) -> None:
    assert browsers.describe(told) == words
