"""Messages arrive in order, at least once, with an id and an end, whatever the other side does."""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook

from batchops import audit
from batchops.models import Action, AuditEntry
from batchops.notices import inbox, kinds, raising, watching
from batchops.notices.channels import delivery, keeping, outbox, sealing
from batchops.notices.conditions import CONDITIONS
from batchops.notices.kinds import Raised, always
from batchops.notices.models import Channel, Delivery, Notice, Severity
from batchops.services.errors import InvalidInput, NotAllowed
from tests.syllable.loopback import Heard, Loopback, Said, http, loopback, unused_port

pytestmark = pytest.mark.django_db

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
HOSTILE = "<b>&amp;</b> <!channel> [x](http://evil.example) {{ 7 }} \u202etxt"


@pytest.fixture
def replies() -> list[Said]:
    """What the receiver answers, one after the other; then 200."""
    return []


@pytest.fixture
def receiver(replies: list[Said], settings: Settings) -> Iterator[Loopback]:
    settings.NOTICE_NETWORKS = [ip_network("127.0.0.0/8")]
    with loopback(lambda _: replies.pop(0) if replies else http(200, b"ok")) as running:
        yield running


def channel(
    url: str = "http://127.0.0.1:9/", kind: str = "webhook", name: str = "ops", **more: Any
) -> Channel:
    fields = {"least_severity": Severity.INFO, "shown_target": "127.0.0.1", **more}
    return Channel.objects.create(
        name=name,
        kind=kind,
        sealed_target=sealing.seal(url),
        sealed_secret=sealing.seal(SECRET),
        **fields,
    )


def raise_one(about: str = "1", title: str = "", kind: kinds.Kind = kinds.FINISHED) -> Notice:
    [notice] = raising.raise_all([Raised(kind, about, always(title or f"title {about}"), "/x/")])
    return notice


def at_once() -> None:
    """What waits for its next attempt is due."""
    Delivery.objects.update(due_at=timezone.now())


def titles(heard: list[Heard]) -> list[str]:
    return [one.json["title"] for one in heard]


def test_a_webhook_is_signed_and_says_what_the_notice_does(
    receiver: Loopback, settings: Settings
) -> None:
    settings.SITE_URL = "https://batchops.example.com"
    by = channel(receiver.url)
    raise_one(title=HOSTILE)
    assert delivery.deliver_by(by.pk) == 1
    [heard] = receiver.heard
    told = Webhook(SECRET).verify(heard.body, dict(heard.headers))
    assert told["title"] == HOSTILE
    assert told["link"] == "https://batchops.example.com/x/"
    assert told["type"] == "notice.raised"
    assert told["id"] == heard.headers["webhook-id"]
    sent = Delivery.objects.get()
    assert (sent.state, sent.attempts, str(sent.message_id)) == ("sent", 1, told["id"])


@pytest.mark.parametrize("kind", ["slack", "teams", "google_chat"])
def test_chats_get_their_own_form_in_which_no_name_is_markup(
    receiver: Loopback, settings: Settings, kind: str
) -> None:
    settings.SITE_URL = "https://batchops.example.com"
    by = channel(receiver.url, kind)
    raise_one(title=HOSTILE)
    delivery.deliver_by(by.pk)
    body = receiver.heard[0].json
    if kind == "slack":
        assert "<!channel>" not in body["text"]
        texts = [block["text"] for block in body["blocks"] if "text" in block]
        assert {text["type"] for text in texts} == {"plain_text"}
    elif kind == "teams":
        card = body["attachments"][0]["content"]
        assert {part["type"] for part in card["body"]} == {"RichTextBlock"}
        assert card["actions"][0]["url"] == "https://batchops.example.com/x/"
    else:
        words = json.dumps(body["cardsV2"][0]["card"]["sections"])
        assert "&lt;!channel&gt;" in words
        assert "<b>" not in words


def test_they_come_in_order_and_one_that_fails_goes_before_all_others(
    receiver: Loopback, replies: list[Said]
) -> None:
    by = channel(receiver.url)
    for number in range(3):
        raise_one(str(number))
    replies += [http(200), http(503, b"busy")]
    assert delivery.deliver_by(by.pk) == 1
    assert delivery.deliver_by(by.pk) == 0
    by.refresh_from_db()
    assert by.last_error == "HTTP 503: busy"
    assert by.failing_since is not None
    first = receiver.heard[1].body
    at_once()
    assert delivery.deliver_by(by.pk) == 2
    assert titles(receiver.heard) == ["title 0", "title 1", "title 1", "title 2"]
    assert receiver.heard[2].body == first
    freed = Channel.objects.get()
    assert (freed.failing_since, freed.lease) == (None, None)


def test_killed_between_sending_and_marking_it_is_sent_again_with_the_same_id(
    receiver: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = channel(receiver.url)
    raise_one()

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(delivery, "_note_sent", killed)
        with pytest.raises(SystemExit):
            delivery.deliver_by(by.pk)
    assert delivery.deliver_by(by.pk) == 0, "the lease of the dead worker lasts still"
    Channel.objects.update(lease_until=timezone.now())
    assert delivery.deliver_by(by.pk) == 1
    ids = [heard.headers["webhook-id"] for heard in receiver.heard]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_two_workers_that_compose_the_same_message_send_the_same_words(receiver: Loopback) -> None:
    by = channel(receiver.url)
    raise_one()
    one, other = Delivery.objects.get(), Delivery.objects.get()
    delivery.attempt(by, one)
    Notice.objects.update(title="another title")
    assert other.message is None
    delivery.attempt(by, other)
    assert receiver.heard[0].body == receiver.heard[1].body


def test_one_worker_alone_delivers_by_a_channel(receiver: Loopback) -> None:
    by = channel(receiver.url, lease=uuid.uuid4(), lease_until=timezone.now() + delivery.LEASE)
    raise_one()
    assert delivery._due(timezone.now()) == []
    assert delivery.deliver_by(by.pk) == 0
    assert receiver.heard == []


@pytest.mark.parametrize(
    ("reply", "attempts", "words"),
    [
        (http(500, b"oops"), len(delivery.BACKOFF_SECONDS) + 1, "HTTP 500: oops"),
        (http(302, Location="http://169.254.169.254/"), 12, "HTTP 302"),
        (http(400, b"what?"), delivery.REFUSALS_MOST, "HTTP 400: what?"),
        (
            http(404, b"<h1>no</h1>", Content_Type="text/html"),
            delivery.REFUSALS_MOST,
            "a page of HTML",
        ),
    ],
)
def test_each_message_has_an_end_that_says_what_the_other_side_said(
    receiver: Loopback,
    replies: list[Said],
    administrator: User,
    reply: Said,
    attempts: int,
    words: str,
) -> None:
    by = channel(receiver.url)
    raise_one()
    for _ in range(attempts):
        replies.append(reply)
        assert Delivery.objects.get().state == "pending"
        at_once()
        delivery.deliver_by(by.pk)
    dead = Delivery.objects.get()
    assert dead.state == "dead"
    assert words in dead.error
    assert len(receiver.heard) == attempts
    as_admin = {"user": administrator, "actor": audit.Actor.of_user(administrator)}
    assert keeping.try_again.__wrapped__(by, **as_admin) == 1  # type: ignore[attr-defined]
    assert delivery.deliver_by(by.pk) == 1


def test_410_switches_a_channel_off_and_another_tells(
    receiver: Loopback, replies: list[Said], administrator: User
) -> None:
    gone, other = channel(receiver.url, name="gone"), channel(receiver.url, name="other")
    raise_one()
    raise_one("2")
    replies.append(http(410, b"bye"))
    delivery.deliver_by(gone.pk)
    gone.refresh_from_db()
    assert not gone.is_active
    assert set(gone.deliveries.values_list("state", flat=True)) == {"dead"}
    assert AuditEntry.objects.latest("pk").action == Action.CHANNEL_SWITCHED_OFF

    watch_channels()
    delivery.deliver_by(other.pk)
    assert titles(receiver.heard)[-1].startswith("Channel gone is off: The other side wants no")
    assert gone.deliveries.count() == 2
    assert "Channel gone is off" in inbox.unread(administrator)[0].notice.title


def test_a_channel_that_fails_for_minutes_is_told_by_the_others_and_when_it_works_again(
    receiver: Loopback,
) -> None:
    dead, other = channel(name="dead"), channel(receiver.url, name="other")
    raise_one()
    delivery.deliver_by(dead.pk)
    watch_channels()
    assert Notice.objects.count() == 1
    Channel.objects.filter(pk=dead.pk).update(failing_since=timezone.now() - dt.timedelta(hours=1))
    watch_channels()
    Channel.objects.filter(pk=dead.pk).update(failing_since=None)
    watch_channels()
    delivery.deliver_by(other.pk)
    assert [one.json["event"] for one in receiver.heard] == ["raised", "raised", "closed"]
    assert dead.deliveries.count() == 1


def watch_channels() -> None:
    for condition in CONDITIONS:
        if kinds.CHANNEL_OFF in condition.kinds:
            watching.watch(condition)


def test_a_group_waits_for_more_and_tells_later_what_it_gained(receiver: Loopback) -> None:
    by = channel(receiver.url)

    def outside(number: int) -> None:
        one = Raised(kinds.CHANGED_OUTSIDE, "dave", lambda n: f"{n} changes", "/x/", number)
        raising.raise_all([one])

    outside(150)
    assert delivery.deliver_by(by.pk) == 0
    outside(50)
    at_once()
    assert delivery.deliver_by(by.pk) == 1
    outside(7)
    close_groups()
    assert delivery.deliver_by(by.pk) == 1
    assert titles(receiver.heard) == ["200 changes", "207 changes"]


def close_groups() -> None:
    Notice.objects.update(raised_at=timezone.now() - raising.GROUP_SPAN)
    raising.close(raising.grouping_over(timezone.now()), timezone.now())


def test_a_channel_gets_only_what_matters_enough(receiver: Loopback) -> None:
    channel(receiver.url, least_severity=Severity.URGENT)
    raise_one()
    raise_one(kind=kinds.ANCHORS_FAIL)
    assert not Delivery.objects.exists()
    channel(receiver.url, name="off", is_active=False)
    raise_one("2")
    assert not Delivery.objects.exists()


# Mail -----------------------------------------------------------------------------------------


class Mailbox(MessageHandler):
    """Keeps the mails that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.mails.append(message)


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    box = Mailbox()
    server = Controller(box, hostname="127.0.0.1", port=unused_port())
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = server.port
    settings.EMAIL_TIMEOUT = 5
    yield box
    server.stop()


def test_a_mail_is_text_and_html_with_one_id_and_no_line_of_a_name_is_a_header(
    mailbox: Mailbox, settings: Settings
) -> None:
    settings.SITE_URL = "https://batchops.example.com"
    by = channel("a@example.com, b@example.com", "mail")
    raise_one(title=f"{HOSTILE}\r\nBcc: evil@example.com")
    assert delivery.deliver_by(by.pk) == 1
    [mail] = mailbox.mails
    assert mail["To"] == "a@example.com, b@example.com"
    assert mail["Bcc"] is None
    assert mail["Message-ID"] == f"<{Delivery.objects.get().message_id}@batchops>"
    text, page = (part.get_payload(decode=True).decode() for part in mail.get_payload())
    assert HOSTILE in text
    assert "https://batchops.example.com/x/" in text
    assert "<!channel>" not in page
    assert 'href="https://batchops.example.com/x/"' in page


def test_a_mail_server_that_is_away_is_tried_again(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    by = channel("a@example.com", "mail")
    raise_one()
    assert delivery.deliver_by(by.pk) == 0
    waiting = Delivery.objects.get()
    assert (waiting.state, waiting.attempts) == ("pending", 1)
    assert "refused" in waiting.error.lower()


# Keeping channels -----------------------------------------------------------------------------


@pytest.fixture
def save(administrator: User) -> Callable[..., Any]:
    def keep(one: Channel | None = None, **more: Any) -> Any:
        user = more.pop("user", administrator)
        fields = {
            "name": "ops",
            "kind": "webhook",
            "target": "https://hooks.example.com/T0/secret-part",
            "secret": "",
            "least_severity": 20,
            "is_active": True,
        }
        wanted = keeping.Wanted(**{**fields, **more})
        service = keeping.save.__wrapped__  # type: ignore[attr-defined]
        return service(one or Channel(), wanted, user=user, actor=audit.Actor.of_user(user))

    return keep


def test_what_is_secret_is_in_no_row_and_no_entry(save: Callable[..., Any]) -> None:
    kept, made = save()
    row = json.dumps(list(Channel.objects.values()), default=str)
    entry = AuditEntry.objects.latest("pk")
    assert entry.action == Action.CHANNEL_ADDED
    for secret in ("secret-part", made, made.removeprefix("whsec_")):
        assert secret not in row + json.dumps(entry.detail)
    assert kept.shown_target == "hooks.example.com"
    assert sealing.open_sealed(kept.sealed_secret) == made
    again, none = save(kept, target="", name="other")
    assert none == ""
    assert sealing.open_sealed(again.sealed_target).endswith("secret-part")


def test_a_secret_can_be_named_in_the_environment_but_not_those_of_batchops(
    save: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, _ = save(target="env:NOTICE_HOOK", secret="env:NOTICE_SIGN")
    assert kept.shown_target == "env:NOTICE_HOOK"
    with pytest.raises(sealing.CannotOpen, match="NOTICE_HOOK is not set"):
        sealing.open_sealed(kept.sealed_target)
    monkeypatch.setitem(os.environ, "NOTICE_HOOK", "https://hooks.example.com/x")
    assert sealing.open_sealed(kept.sealed_target) == "https://hooks.example.com/x"
    for name in ("env:SECRET_KEY", "env:SYLLABLE_API_KEY", "ENV:NOTICE_X", "env:"):
        with pytest.raises(InvalidInput):
            save(target=name)


def test_a_new_secret_key_opens_what_the_former_one_sealed(settings: Settings) -> None:
    stored = sealing.seal("https://x.example")
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    assert sealing.open_sealed(stored) == "https://x.example"
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(sealing.CannotOpen, match="enter it again"):
        sealing.open_sealed(stored)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("target", {"target": "ftp://x"}),
        ("target", {"target": "https://user:password@x.example/"}),
        ("target", {"kind": "mail", "target": "nobody"}),
        ("target", {"kind": "mail", "target": ""}),
        ("secret", {"secret": "whsec_short"}),
    ],
)
def test_what_cannot_work_is_refused_at_its_field(
    save: Callable[..., Any], field: str, fields: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput) as error:
        save(**fields)
    assert error.value.field == field


def test_only_who_may_keep_channels_does(save: Callable[..., Any], operator: User) -> None:
    with pytest.raises(NotAllowed):
        save(user=operator)


def test_the_other_sides_words_never_repeat_the_address(
    receiver: Loopback, replies: list[Said]
) -> None:
    url = f"{receiver.url}/T0/secret-part"
    by = channel(url, "slack")
    raise_one()
    replies.append(http(500, f"cannot {url}".encode()))
    delivery.deliver_by(by.pk)
    assert Delivery.objects.get().error == "HTTP 500: cannot …"


def test_composing_says_no_more_than_the_notice(receiver: Loopback) -> None:
    channel(receiver.url)
    notice = raise_one()
    message = outbox.compose(Delivery.objects.get())
    assert message["title"] == notice.title
    assert SECRET not in json.dumps(message)
