"""What the page of an ended change offers: to complete it, to take it back, to see what failed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from batchops import audit
from batchops.models import Batch, Change
from batchops.services.changes import drafts
from tests.services.changes.world import RESUME, batches, confirm, ended

pytestmark = pytest.mark.django_db


def shown(client: Client, user: User, change: Change, query: str = "") -> str:
    client.force_login(user)
    response = client.get(reverse("admin:batchops_change_change", args=[change.pk]) + query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_what_was_undone_says_so_and_is_not_offered_to_be_undone(
    client: Client, operator: User
) -> None:
    batches(3)
    done = ended(operator)
    undo = drafts.draft_undo(done, user=operator, actor=audit.Actor.of_user(operator))
    assert "Undo on 3…" in shown(client, operator, done)
    confirm(undo, operator, reason="it was right")
    assert "Undo on" not in shown(client, operator, done)
    undo.items.update(state="applied")
    Change.objects.filter(pk=undo.pk).update(state="finished", counts_json={"applied": 3})
    text = shown(client, operator, done)
    assert "3 of 3 as requested; undone since on 3 batches" in text
    assert "Undone</span>" in text
    assert "Undo on" not in text
    rows = client.get(reverse("admin:batchops_change_changelist")).content.decode()
    assert rows.count("Undone</span>") == 1


def test_what_completes_the_intention_comes_first_and_what_reaches_people_is_set_apart(
    client: Client, operator: User
) -> None:
    batches(3)
    pause = ended(operator)
    pause.items.filter(batch="b-0").update(state="failed")
    text = shown(client, operator, pause)
    assert text.index('class="pause-button"') < text.index("Take it back")
    assert 'class="reach-button"' in text.split("Take it back")[1]
    assert "main-button" not in text.split("Take it back")[1].split("</section>")[0]
    Batch.objects.update(paused=True)
    resume = ended(operator, RESUME)
    resume.items.filter(batch="b-0").update(state="failed")
    assert 'class="danger-button"' in shown(client, operator, resume).split("Retry 1…")[0]


def test_what_was_said_leads_to_the_batches_that_it_was_said_of(
    client: Client, operator: User
) -> None:
    batches(3)
    done = ended(operator)
    done.items.filter(batch="b-1").update(state="refused", message="locked & closed: 100 %")
    text = shown(client, operator, done)
    assert "Took 5 s" in text
    link = text.split('class="change-messages"')[1].split('href="')[1].split('"')[0]
    found = shown(client, operator, done, link.replace("&amp;", "&").split("#")[0])
    rows = found.split('data-live="outcomes"')[1].split("</tbody>")[0]
    assert (">b-1<" in rows, ">b-0<" in rows) == (True, False)
