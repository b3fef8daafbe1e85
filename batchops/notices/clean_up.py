"""Old notices are deleted, so that no table grows without end."""

from __future__ import annotations

import logging

from django.conf import settings
from django.utils import timezone

from batchops.notices.models import Delivery, Notice
from batchops.services import clean_up as rows

logger = logging.getLogger(__name__)


def clean_up() -> int:
    """Delete notices that were over `KEEP_NOTICES_DAYS` ago, with their places in inboxes."""
    before = rows.days_ago(timezone.now(), settings.KEEP_NOTICES_DAYS)
    deleted = rows.delete(Notice.objects.filter(closed_at__lt=before).order_by("closed_at"))
    deleted += rows.delete(Delivery.objects.filter(notice=None, created_at__lt=before))
    logger.info("Cleaned up %s old notices and tests.", f"{deleted:,}")
    return deleted
