"""The admin site of batchops."""

from __future__ import annotations

from django.contrib import admin


class BatchopsAdminSite(admin.AdminSite):
    """Django's admin, as batchops."""

    site_header = "batchops"
    site_title = "batchops"
    index_title = "Overview"


site = admin.site
