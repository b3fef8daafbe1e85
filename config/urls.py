"""Addresses: the admin is the whole site; two more tell machines how it is."""

from django.urls import path

from batchops import health
from batchops.admin.site import site

urlpatterns = [
    path("healthz", health.process, name="healthz"),
    path("readyz", health.readiness, name="readyz"),
    path("", site.urls),
]
