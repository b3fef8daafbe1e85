"""Quota: how much of something is used until when."""

from __future__ import annotations

from django.db import models


class Quota(models.Model):
    """A row for each thing that is counted and each person; it is used again and again."""

    key = models.CharField(max_length=100, primary_key=True)
    used = models.PositiveIntegerField()
    until = models.DateTimeField(help_text="When it counts from nothing again.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.key}: {self.used:,}"
