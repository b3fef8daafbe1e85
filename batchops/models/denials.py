"""DeniedTries: how many tries were denied lately, so that a burst does not fill the trail."""

from __future__ import annotations

from django.db import models


class DeniedTries(models.Model):
    """The denied tries of one account, or of all who are not signed in, since an instant."""

    whose = models.CharField(max_length=64, primary_key=True)
    since = models.DateTimeField(db_index=True)
    recorded = models.PositiveIntegerField(default=0, help_text="As entries of their own.")
    summed_up = models.PositiveIntegerField(default=0, help_text="Only counted.")
    by = models.JSONField(default=dict, help_text="Those only counted, by who and what.")

    class Meta:
        default_permissions = ()
        verbose_name_plural = "denied tries"

    def __str__(self) -> str:
        return f"{self.whose}: {self.recorded + self.summed_up}"
