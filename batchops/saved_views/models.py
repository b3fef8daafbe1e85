"""SavedView: an address of the batch list under a name. ListSettings: how one person wants it."""

from __future__ import annotations

from django.conf import settings
from django.db import models

NAME_LENGTH = 60
"""Characters of the name of a view."""


class SavedView(models.Model):
    """A view that a person saved, for themselves or for everybody who sees batches.

    One that is shared stays when its owner's account goes; hence the name beside it.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    owner_name = models.CharField(max_length=255)
    name = models.CharField(max_length=NAME_LENGTH)
    query = models.TextField(blank=True, help_text="What follows the ? in the list's address.")
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        ordering = ("name", "pk")
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="one_view_of_a_name"),
        ]
        indexes = [
            models.Index(fields=["name"], name="shared_views", condition=models.Q(is_shared=True)),
        ]

    def __str__(self) -> str:
        return self.name


class ListSettings(models.Model):
    """The columns and rows a page that a person chose; no row: as the list comes."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    columns = models.JSONField(default=list)
    page_size = models.PositiveSmallIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"list of {self.user_id}"


class DefaultView(models.Model):
    """The view with which the list opens for a person; no row: with all that is present."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    view = models.ForeignKey(SavedView, on_delete=models.CASCADE, related_name="+")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"default of {self.user_id}"
