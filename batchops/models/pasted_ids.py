"""PastedIds: a list of batch ids that a person pasted, kept while they work with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class PastedIds(models.Model):
    """What was pasted, sorted into what the mirror knows and what it does not."""

    user: models.ForeignKey[User, User] = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField(db_index=True)
    found = models.JSONField(help_text="Ids of batches, each once.")
    found_count = models.PositiveIntegerField()
    unknown = models.JSONField(help_text="Ids that the mirror does not know, each once.")
    look_alikes = models.JSONField(
        default=dict, help_text="For unknown ids, the batches that may be meant."
    )
    duplicates = models.JSONField(help_text="Ids that were given more than once.")
    surplus = models.PositiveIntegerField(help_text="How many of the ids given were repetitions.")

    class Meta:
        default_permissions = ()
        verbose_name_plural = "pasted ids"

    def __str__(self) -> str:
        return f"{self.found_count:,} pasted batches"
