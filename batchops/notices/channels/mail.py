"""A message as a mail: plain text, and HTML that is readable on a phone and in the dark."""

from __future__ import annotations

from collections.abc import Sequence
from smtplib import SMTPException
from typing import Final

from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string

from batchops.notices.channels.failures import DeliveryFailed
from batchops.notices.channels.formats import Message

SUBJECT_MOST: Final = 150


def send(message: Message, addresses: Sequence[str]) -> None:
    """Hand a mail to the mail server. Raises DeliveryFailed with what the server said."""
    try:
        made(message, addresses).send()
    except (SMTPException, OSError) as error:
        raise DeliveryFailed(str(error) or type(error).__name__) from error


def made(message: Message, addresses: Sequence[str]) -> EmailMultiAlternatives:
    """The mail, with an id of its own that is the same at each try."""
    subject = " ".join(f"[batchops] {message['label']}: {message['title']}".split())
    context = {"message": message}
    mail = EmailMultiAlternatives(
        subject if len(subject) <= SUBJECT_MOST else f"{subject[: SUBJECT_MOST - 1]}…",
        render_to_string("batchops/notices/mail.txt", context),
        to=list(addresses),
        headers={
            "Message-ID": f"<{message['id']}@batchops>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
        },
        connection=get_connection(),
    )
    mail.attach_alternative(render_to_string("batchops/notices/mail.html", context), "text/html")
    return mail
