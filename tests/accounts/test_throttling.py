"""Guessing is held back, and nobody can lock the owner of an account out by it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpResponse
from django.test import Client

from batchops.accounts import throttling
from batchops.audit import denials
from batchops.models import AuditEntry, Quota

pytestmark = pytest.mark.django_db

HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"


def sign_in(
    password: str = "password", address: str = HOME, client: Client | None = None, name: str = ""
) -> HttpResponse:
    form = {"username": name or "olivia", "password": password}
    return (client or Client()).post("/login/", form, REMOTE_ADDR=address)  # type: ignore[return-value]


def guess(times: int, address: str = ELSEWHERE, name: str = "") -> list[int]:
    return [sign_in(f"guess {n}", address, name=name).status_code for n in range(times)]


def test_after_five_tries_a_name_is_held_back_at_this_address_alone(operator: User) -> None:
    assert guess(6) == [200, 200, 200, 200, 200, 429]
    refused = sign_in(address=ELSEWHERE)
    assert refused.status_code == 429, "even with the right password"
    assert "Wait 15 minutes" in refused.content.decode()
    assert sign_in(address=HOME).status_code == 302


def test_and_may_try_again_when_the_time_is_over(operator: User) -> None:
    with time_machine.travel("2026-03-24T08:00Z", tick=False) as clock:
        guess(6)
        clock.shift(throttling.SPAN)
        assert sign_in(address=ELSEWHERE).status_code == 302


def test_who_gets_in_has_all_tries_again(operator: User) -> None:
    for _ in range(3):
        assert guess(4, HOME) == [200] * 4
        assert sign_in().status_code == 302


def test_a_known_device_is_let_in_whatever_others_try_at_its_own_address(operator: User) -> None:
    own = Client()
    sign_in(client=own)
    own.post("/logout/")
    guess(6, HOME)
    assert sign_in(address=HOME).status_code == 429
    assert sign_in(address=HOME, client=own).status_code == 302


def test_but_what_it_guesses_itself_is_held_back_too(operator: User) -> None:
    own = Client()
    sign_in(client=own)
    own.post("/logout/")
    tried = [sign_in("wrong", client=own).status_code for _ in range(11)]
    assert tried == [200] * 10 + [429]


def test_a_device_is_known_for_whom_it_was_used_by_and_nobody_can_make_one_up(
    operator: User, approver: User
) -> None:
    own = Client()
    sign_in(client=own, name="amir")
    own.post("/logout/")
    guess(5, HOME)
    assert sign_in(client=own).status_code == 429
    own.cookies["known_device"] = own.cookies["known_device"].value[:-1] + "x"
    guess(5, HOME, "amir")
    assert sign_in(client=own, name="amir").status_code == 429


def test_a_siege_from_many_addresses_leaves_one_try_to_each_and_so_the_owner_gets_in(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttling, "SIEGE_OF_NAME", 4)
    for number in range(4):
        guess(1, f"203.0.113.{number}")
    assert guess(2, "203.0.113.77") == [200, 429]
    assert sign_in().status_code == 302


def test_networks_of_ipv6_count_as_one_address(operator: User) -> None:
    for number in range(5):
        guess(1, f"2001:db8::{number:x}")
    assert guess(1, "2001:db8::beef") == [429]
    assert guess(1, "2001:db8:0:1::1") == [200]


def test_a_try_that_is_held_back_costs_no_hash(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    guess(5)
    monkeypatch.setattr(hashers, "verify_password", lambda *_: pytest.fail("it was hashed"))
    assert guess(1) == [429]


def test_a_burst_that_is_held_back_is_one_entry_and_a_sum(operator: User) -> None:
    with time_machine.travel("2026-03-24T08:00Z", tick=False) as clock:
        guess(5 + 40)
        clock.shift(denials.SPAN)
        denials.sum_up_due()
    failed = AuditEntry.objects.filter(action="account.sign_in_failed")
    assert failed.count() == 5
    held = AuditEntry.objects.get(action="account.sign_in_held_back")
    assert (held.actor_name, held.actor_ip) == ("olivia", ELSEWHERE)
    assert AuditEntry.objects.get(action="access.denials_summed_up").detail["tries"] == 39


def test_no_name_and_no_address_is_kept_in_the_counts(operator: User) -> None:
    guess(1, name="hunter2-is-my-password")
    kept = str(list(Quota.objects.values()))
    assert "hunter2" not in kept
    assert ELSEWHERE not in kept


@pytest.mark.django_db(transaction=True)
def test_a_burst_of_parallel_tries_cannot_slip_through(operator: User) -> None:
    together = threading.Barrier(12)

    def once(number: int) -> int:
        try:
            together.wait(30)
            return sign_in(f"guess {number}", ELSEWHERE).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(once, range(12))).count(200) <= throttling.TRIES
