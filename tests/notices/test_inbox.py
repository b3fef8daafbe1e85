"""The inbox: what is one's own, read and unread, and nobody else's."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from batchops.notices import inbox, kinds, raising
from batchops.notices.kinds import Raised, always
from batchops.notices.models import Notice

pytestmark = pytest.mark.django_db

INBOX = reverse("admin:notices")
READ = reverse("admin:notices_read")
NEWS = reverse("admin:notices_news")


def raised(user: User, about: str = "1", kind: kinds.Kind = kinds.FINISHED) -> Notice:
    title = f'<script>alert("{about}")</script>'
    one = Raised(kind, about, always(title), "/batchops/change/", people=frozenset({user.pk}))
    [notice] = raising.raise_all([one])
    return notice


def reader(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_person_reads_their_notices_one_by_one_or_all(operator: User) -> None:
    notices = [raised(operator, str(number)) for number in range(3)]
    client = reader(operator)
    page = client.get(INBOX).content.decode()
    assert page.count("is-unread") == 3
    assert "<script>alert" not in page
    client.post(READ, {"notice": notices[0].pk})
    assert inbox.unread_ids(operator) == [notices[2].pk, notices[1].pk]
    client.post(READ, {"notice": notices[0].pk, "unread": "1"})
    assert len(inbox.unread_ids(operator)) == 3
    assert client.post(READ, {"notice": "all", "show": "all"}).headers["Location"].endswith("all")
    assert inbox.unread_ids(operator) == []
    assert "Nothing is unread." in client.get(INBOX).content.decode()
    assert "is-unread" not in client.get(INBOX, {"show": "all"}).content.decode()


def test_nobody_reads_or_marks_what_is_somebody_elses(operator: User, approver: User) -> None:
    notice = raised(operator)
    other = reader(approver)
    for given in ({"notice": notice.pk}, {"notice": "all"}, {"notice": notice.pk, "unread": "1"}):
        assert other.post(READ, given).status_code == 302
    assert inbox.unread_ids(operator) == [notice.pk]
    assert other.get(NEWS).json() == {"unread": 0, "latest": 0, "toasts": []}
    assert "alert(" not in other.get(INBOX, {"show": "all"}).content.decode()


def test_open_pages_hear_of_news_and_let_only_ends_of_changes_pop_up(operator: User) -> None:
    first = raised(operator)
    raised(operator, "2", kinds.APPROVED)
    client = reader(operator)
    news = client.get(NEWS, {"after": first.pk - 1}).json()
    assert (news["unread"], len(news["toasts"])) == (2, 1)
    assert client.get(NEWS, {"after": news["latest"]}).json()["toasts"] == []


@pytest.mark.parametrize("number", ["x", "-1", "1.5", "9" * 19, "²", ""])
def test_what_is_no_number_of_a_notice_is_refused_with_words(operator: User, number: str) -> None:
    client = reader(operator)
    assert client.get(NEWS, {"after": number}).status_code == 400
    assert client.post(READ, {"notice": number}).status_code == 400


def test_who_is_not_signed_in_hears_nothing(client: Client) -> None:
    assert client.get(NEWS).status_code == 302
    assert client.get(INBOX).status_code == 302
