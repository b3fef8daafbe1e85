"""Single sign-on against a provider on loopback: who gets in, as whom, and who does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from batchops.accounts.models import Identity, Session
from batchops.admin.accounts import sso_pages
from batchops.models import AuditEntry
from tests.accounts.apps import code_of, with_app
from tests.accounts.providers import Provider, running_provider, set_up

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def provider(running: Provider, settings: Settings) -> Provider:
    set_up(running, settings)
    return running


def go(provider: Provider, client: Client, subject: str = "mia", way: str = "") -> Any:
    """There and back again; the answer to the way back."""
    there = client.get(f"/login/sso/{way}")
    assert there.status_code == 302, there.content
    return client.get(provider.lets_in(there["Location"], subject))


def is_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


def why_failed() -> str:
    entry = AuditEntry.objects.filter(action="account.sign_in_failed").latest("sequence")
    assert entry.detail["method"] == "single sign-on"
    return str(entry.detail["why"])


def groups_of(name: str = "mia.berg") -> set[str]:
    return set(User.objects.get(username=name).groups.values_list("name", flat=True))


def test_the_first_sign_in_makes_the_account_with_the_groups_that_the_claims_give(
    provider: Provider,
) -> None:
    client = Client()
    page = client.get("/login/?next=/batchops/batch/").content.decode()
    assert "/login/sso/?next=%2Fbatchops%2Fbatch%2F" in page
    there = dict(parse_qsl(urlsplit(client.get("/login/sso/")["Location"]).query))
    assert there["code_challenge_method"] == "S256"
    assert there.keys() >= {"state", "nonce", "code_challenge"}
    answer = go(provider, client, way="?next=/batchops/batch/")
    assert answer["Location"] == "/batchops/batch/"
    mia = User.objects.get(username="mia.berg")
    assert (mia.email, mia.first_name, mia.is_staff, mia.is_superuser) == (
        *("mia@example.com", "Mia", True, False),
    )
    assert not mia.has_usable_password()
    assert groups_of() == {"Operator"}
    assert is_in(client)
    entry = AuditEntry.objects.get(action="account.signed_in")
    assert (entry.actor_name, entry.detail["method"]) == ("mia.berg", "single sign-on")
    made = AuditEntry.objects.get(action="account.created", detail__account="mia.berg")
    assert made.who == "batchops, for mia.berg"


def test_groups_follow_the_claims_at_each_sign_in_and_their_loss_ends_the_sessions(
    provider: Provider,
) -> None:
    client = Client()
    go(provider, client)
    provider.knows("mia", groups=["Prüfung", "leads, all"], email="mia.berg@example.com")
    go(provider, other := Client())
    assert groups_of() == {"Auditor", "Approver"}
    assert User.objects.get().email == "mia.berg@example.com", "the same person with a new mail"
    assert (is_in(client), is_in(other)) == (False, True)
    for gone in ([], None, "canteen", 7, {"ops-team": True}, ["OPS-TEAM", 7, None]):
        provider.knows("mia", groups=gone)
        answer = go(provider, last := Client())
        assert answer.status_code == 403
        assert "Ask whoever runs batchops." in answer.content.decode()
        assert not is_in(last)
    assert groups_of() == set()
    assert not Session.objects.filter(user__isnull=False).exists()


def test_whoever_has_no_role_here_leaves_no_account(provider: Provider) -> None:
    provider.knows("nils", preferred_username="nils", groups=["canteen"])
    assert go(provider, Client(), "nils").status_code == 403
    assert not User.objects.exists()
    assert "none of your groups" in why_failed()


def test_claims_never_make_an_administrator(provider: Provider, settings: Settings) -> None:
    Group.objects.create(name="Administrator")
    settings.OIDC_GROUPS = [("ops-team", "Administrator")]
    provider.knows("mia", is_superuser=True, is_staff=True, roles=["admin"])
    go(provider, Client())
    assert not User.objects.get(username="mia.berg").is_superuser


def test_an_account_is_never_taken_over_by_its_name_or_its_mail(
    provider: Provider, operator: User
) -> None:
    provider.knows("eve", preferred_username="olivia", email=operator.email)
    assert go(provider, Client(), "eve").status_code == 403
    assert "Another account has your name." in why_failed()
    go(provider, Client())
    provider.knows("twin", email="mia@example.com", preferred_username="mia2")
    go(provider, Client(), "twin")
    assert User.objects.filter(email="mia@example.com").count() == 2
    provider.knows("third")
    assert go(provider, Client(), "third").status_code == 403
    assert Identity.objects.count() == 2


def test_an_account_that_is_deactivated_here_stays_so(provider: Provider) -> None:
    go(provider, Client())
    User.objects.update(is_active=False)
    assert go(provider, client := Client()).status_code == 403
    assert "deactivated" in why_failed()
    assert not is_in(client)


@pytest.mark.parametrize(
    "claims",
    [
        {"preferred_username": "", "email": ""},
        {"preferred_username": 7, "email": None},
        {"preferred_username": "batchops"},
        {"preferred_username": "a\x00b", "email": "a\x00@example.com"},
        {"preferred_username": "x" * 300, "email": "y" * 300},
        {"preferred_username": "mi\u0430"},
    ],
)
def test_a_name_that_cannot_be_one_is_refused_with_a_page(
    provider: Provider, claims: dict[str, Any]
) -> None:
    provider.knows("odd", **claims)
    answer = go(provider, Client(), "odd")
    assert answer.status_code == 403
    assert "No account can be made for you" in answer.content.decode()
    assert not User.objects.exists()


def test_a_way_back_counts_once_and_only_in_the_browser_that_began_it(provider: Provider) -> None:
    client = Client()
    back = provider.lets_in(client.get("/login/sso/")["Location"])
    assert Client().get(back).status_code == 400, "another browser"
    assert client.get(back).status_code == 302
    client.post("/logout/")
    assert client.get(back).status_code == 400, "replayed"
    for query in ("", "?code=x&state=y", "?error=access_denied&state=y", "?state=", "?code=%00"):
        assert Client().get(f"/login/sso/back/{query}").status_code == 400, query
    assert not is_in(client)


def test_a_nonce_of_another_sign_in_is_refused(provider: Provider) -> None:
    client = Client()
    there = client.get("/login/sso/")["Location"]
    session = client.session
    (key,) = (name for name in dict(session.items()) if name.startswith("_state_"))
    session[key]["data"]["nonce"] = "of-another-sign-in"
    session.save()
    assert client.get(provider.lets_in(there)).status_code == 400
    assert not User.objects.exists()


@pytest.mark.parametrize(("minutes", "gets_in"), [(4, True), (-4, True), (90, False)])
def test_a_clock_may_be_five_minutes_off(provider: Provider, minutes: int, gets_in: bool) -> None:
    client = Client()
    with time_machine.travel(time.time() + minutes * 60):
        assert (go(provider, client).status_code == 302) is gets_in


def test_nobody_keeps_batchops_busy_with_the_provider(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sso_pages, "BEGUN_MOST", 1)
    statuses = [Client().get("/login/sso/").status_code for _ in range(2)]
    assert statuses == [302, 429]


def test_a_provider_that_is_down_or_another_one_is_said(
    provider: Provider, settings: Settings
) -> None:
    settings.OIDC_ISSUER = f"{provider.issuer}/"
    answer = Client().get("/login/sso/")
    assert (answer.status_code, "Another provider" in why_failed()) == (502, True)
    settings.OIDC_ISSUER = "http://localhost:9"
    answer = Client().get("/login/sso/")
    assert "cannot be reached" in answer.content.decode()
    settings.OIDC_ISSUER = ""
    assert Client().get("/login/sso/").status_code == 404
    assert Client().get("/login/sso/back/?code=x&state=y").status_code == 404


def test_a_second_factor_counts_where_the_provider_says_so_and_is_asked_for_otherwise(
    provider: Provider, settings: Settings
) -> None:
    settings.MFA_REQUIRED_FOR = ["changers"]
    go(provider, client := Client())
    assert client.get("/batchops/batch/")["Location"] == "/account/second-factors/"
    provider.knows("mia", amr=["pwd", "mfa"])
    go(provider, trusted := Client())
    assert trusted.get("/batchops/batch/").status_code == 200
    provider.knows("mia")
    secret = with_app(User.objects.get())
    step = go(provider, asked := Client())
    assert step["Location"].startswith("/login/second-step/")
    assert not is_in(asked)
    asked.post(step["Location"], {"code": code_of(secret)})
    assert asked.get("/batchops/batch/").status_code == 200
    entry = AuditEntry.objects.filter(action="account.signed_in").latest("sequence")
    assert entry.detail["method"] == "single sign-on and authenticator app"


def test_what_is_weighty_asks_for_a_new_sign_in_there(
    provider: Provider, make_person: Callable[..., User]
) -> None:
    now = int(timezone.now().timestamp())
    for auth_time, asked in ((None, True), (now - 3600, True), (now, False), (now * 2, True)):
        provider.knows("mia", auth_time=auth_time, groups=["Prüfung"])
        go(provider, client := Client())
        answer = client.post("/batchops/auditentry/export/", {"kind": "csv"})
        assert ("Content-Disposition" not in answer) is asked, auth_time
        if asked:
            assert "/login/sso/?anew" in answer.content.decode()
    there = dict(parse_qsl(urlsplit(client.get("/login/sso/?anew")["Location"]).query))
    assert (there["prompt"], there["max_age"]) == ("login", "0")
