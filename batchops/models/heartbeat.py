"""Heartbeat: a worker process, and when it last showed that it sends."""

from __future__ import annotations

from django.db import models


class Heartbeat(models.Model):
    """One row a worker process. Instants are by the database's clock."""

    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=32)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        ordering = ("-seen_at",)

    def __str__(self) -> str:
        return f"worker {self.pid} on {self.host}"
