"""What a message looks like by each kind of channel.

What others chose (names, reasons) is put where no markup is read, so that it can neither mention
people nor pass for a link.
"""

from __future__ import annotations

import base64
import datetime as dt
import html
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from standardwebhooks import Webhook

from batchops.notices.models import Channel

Message = Mapping[str, Any]
Body = tuple[bytes, dict[str, str]]
"""The body and the headers of a request."""

JSON: Final = {"Content-Type": "application/json"}
COLOURS: Final = {"info": "accent", "warn": "warning", "bad": "attention", "good": "good"}


def webhook(message: Message, secret: str, now: dt.datetime) -> Body:
    """The message as it is, signed by the Standard Webhooks scheme."""
    body = json.dumps({"type": f"notice.{message['event']}", **message}, sort_keys=True)
    naive = now.astimezone(dt.UTC)
    signature = Webhook(secret).sign(str(message["id"]), naive, body)
    headers = {
        "webhook-id": str(message["id"]),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    return body.encode(), {**JSON, **headers}


def slack(message: Message) -> Body:
    """Plain text throughout: Slack reads no markup in it."""
    blocks: list[dict[str, Any]] = [
        _plain("header", _cut(headline(message), 150)),
        _plain("section", _cut(f"{message['title']}\n{message['advice']}", 3_000)),
    ]
    if message["link"]:
        button = {"type": "button", "text": _text("Open"), "url": message["link"]}
        blocks.append({"type": "actions", "elements": [button]})
    # Shown by notifications alone; there, "<" would begin a mention.
    words = html.escape(f"{headline(message)}: {message['title']}", quote=False)
    return _json({"text": _cut(words, 3_000), "blocks": blocks})


def teams(message: Message) -> Body:
    """An Adaptive Card of text runs, in which no Markdown is read."""
    colour = COLOURS[message["tone"]]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            _run(headline(message), weight="bolder", color=colour),
            _run(message["title"]),
            *([_run(message["advice"], isSubtle=True)] if message["advice"] else []),
        ],
    }
    if message["link"]:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open", "url": message["link"]}]
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return _json({"type": "message", "attachments": [content]})


def google_chat(message: Message) -> Body:
    """A card; its paragraphs read HTML, so that is escaped."""
    words = html.escape(f"{message['title']}\n{message['advice']}").replace("\n", "<br>")
    widgets: list[dict[str, Any]] = [{"textParagraph": {"text": words}}]
    if message["link"]:
        button = {"text": "Open", "onClick": {"openLink": {"url": message["link"]}}}
        widgets.append({"buttonList": {"buttons": [button]}})
    card = {"header": {"title": headline(message)}, "sections": [{"widgets": widgets}]}
    return _json({"cardsV2": [{"cardId": str(message["id"]), "card": card}]})


BY_KIND: Final[Mapping[str, Callable[[Message], Body]]] = {
    Channel.Kind.SLACK: slack,
    Channel.Kind.TEAMS: teams,
    Channel.Kind.GOOGLE_CHAT: google_chat,
}


def headline(message: Message) -> str:
    """How much it matters, and where it comes from: "Urgent · batchops"."""
    return f"{message['label']} · batchops"


def is_signing_secret(secret: str) -> bool:
    """Whether the Standard Webhooks scheme can sign with it: 24 to 64 bytes in base64."""
    try:
        raw = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return secret.startswith("whsec_") and 24 <= len(raw) <= 64


def _json(value: Any) -> Body:
    return json.dumps(value).encode(), dict(JSON)


def _text(words: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": words, "emoji": False}


def _plain(kind: str, words: str) -> dict[str, Any]:
    return {"type": kind, "text": _text(words)}


def _run(words: str, **style: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": words, **style}]}


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"
