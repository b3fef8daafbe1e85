"""The pages of channels: a secret is shown once, what failed says why, and few may keep them."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops.notices.channels import sealing
from batchops.notices.models import Channel, Delivery

pytestmark = pytest.mark.django_db(transaction=True)

ADD = reverse("admin:notices_channel_add")
HOOK = "https://hooks.example.com/services/secret-part"
FORM = {"name": "ops", "kind": "webhook", "target": HOOK, "least_severity": "20", "is_active": "on"}


def reader(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_channel_is_added_tested_and_changed_and_its_secrets_are_shown_once_or_never(
    administrator: User,
) -> None:
    client = reader(administrator)
    page = client.post(ADD, FORM, follow=True).content.decode()
    [made] = re.findall(r"whsec_[\w+/=]{30,}", page)
    one = Channel.objects.get()
    assert sealing.open_sealed(one.sealed_secret) == made
    address = reverse("admin:notices_channel", args=[one.pk])
    page = client.get(address).content.decode()
    assert "hooks.example.com" in page
    assert made not in page
    assert "secret-part" not in page

    client.post(f"{address}test/")
    test = Delivery.objects.get()
    Delivery.objects.update(state="dead", error="HTTP 500: <b>no</b>", attempts=3)
    page = client.get(address).content.decode()
    assert "HTTP 500: &lt;b&gt;no&lt;/b&gt;" in page
    client.post(f"{address}again/")
    test.refresh_from_db()
    assert (test.state, test.attempts) == ("pending", 0)
    assert test.due_at <= timezone.now()

    refused = client.post(address, {**FORM, "target": "ftp://x"}).content.decode()
    assert "begins with https://" in refused
    client.post(address, {**FORM, "target": "", "is_active": ""})
    one.refresh_from_db()
    assert not one.is_active
    assert sealing.open_sealed(one.sealed_target) == HOOK
    client.post(f"{address}test/")
    assert Delivery.objects.count() == 1
    assert "Another channel has this name" in client.post(ADD, FORM).content.decode()


def test_nobody_else_sees_or_keeps_channels(operator: User, auditor: User) -> None:
    Channel.objects.create(name="ops", kind="mail", shown_target="x", sealed_target="x")
    address = reverse("admin:notices_channel", args=[Channel.objects.get().pk])
    for user in (operator, auditor):
        client = reader(user)
        assert client.get(reverse("admin:notices_channels")).status_code == 403
        for path in (ADD, address, f"{address}test/", f"{address}again/"):
            assert client.post(path, FORM).status_code == 403
        assert "Channels" not in client.get(reverse("admin:notices")).content.decode()
    assert Channel.objects.count() == 1
    assert not Delivery.objects.exists()
