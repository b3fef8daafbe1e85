"""The tables of notices: what is worth a word, inboxes, channels and what is delivered by them."""

from batchops.notices.models.channel import Channel, Delivery
from batchops.notices.models.notice import Cursor, InboxItem, Notice, Severity

__all__ = ["Channel", "Cursor", "Delivery", "InboxItem", "Notice", "Severity"]
