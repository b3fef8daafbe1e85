"""Pages that stay live while they are looked at."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page, Request, expect
from pytest_django.live_server_helper import LiveServer

from tests.browser.conftest import SignIn
from tests.services.changes import world

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

A_WHILE: int = 4_000
"""Milliseconds from one request to the next."""


def let_pass(page: Page, milliseconds: int) -> None:
    page.clock.run_for(milliseconds)


def test_a_list_follows_what_happens_and_does_not_move_under_the_hand(
    sign_in: SignIn, operator: User, live_server: LiveServer, running_worker: None
) -> None:
    world.batches(3)
    first = world.confirm(world.draft(operator), operator, reason="first")
    page = sign_in(operator)
    page.clock.install()
    asked: list[Request] = []
    page.on("request", lambda one: asked.append(one) if "x-live" in one.headers else None)
    page.goto(live_server.url + reverse("admin:batchops_change_changelist"))
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(1)

    world.confirm(world.draft(operator), operator, reason="second")
    page.mouse.move(0, 0)
    let_pass(page, A_WHILE)
    expect(rows).to_have_count(2)

    rows.last.hover()
    world.confirm(world.draft(operator), operator, reason="third")
    type(first).objects.filter(pk=first.pk).update(state="finished")
    let_pass(page, A_WHILE)
    expect(rows.last).to_contain_text("Finished")
    expect(page.get_by_text("This list has changed since.")).to_be_visible()
    expect(rows).to_have_count(2)
    page.mouse.move(0, 0)
    let_pass(page, A_WHILE)
    expect(page.get_by_text("This list has changed since.")).to_be_hidden()

    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    number = len(asked)
    let_pass(page, 60_000)
    assert len(asked) == number


def test_a_page_that_the_server_no_longer_renews_says_so(
    sign_in: SignIn, viewer: User, running_worker: None
) -> None:
    page = sign_in(viewer)
    page.clock.install()
    page.reload()
    page.route(re.compile(".*"), lambda route: route.fulfill(body="no answer of ours"))
    for times in (1, 2, 4):
        let_pass(page, A_WHILE * times)
    expect(page.get_by_text("the server does not answer it now")).to_be_visible()
    page.unroute(re.compile(".*"))
    let_pass(page, 60_000)
    expect(page.get_by_text("the server does not answer it now")).to_be_hidden()
