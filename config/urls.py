"""Addresses: the admin is the whole site; two more tell machines how it is."""

from django.urls import path

from batchops import health
from batchops.admin.site import site

handler400 = "batchops.admin.problems.bad_request"
handler403 = "batchops.admin.problems.forbidden"
handler404 = "batchops.admin.problems.not_found"
handler500 = "batchops.admin.problems.server_error"

urlpatterns = [
    path("healthz", health.process, name="healthz"),
    path("readyz", health.readiness, name="readyz"),
    path("", site.urls),
]
