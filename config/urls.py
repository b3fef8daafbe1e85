"""Addresses: the admin is the whole site; three more tell machines how it is."""

from django.urls import path

from batchops.admin.site import site
from batchops.metrics import views as metrics
from batchops.web import health

handler400 = "batchops.admin.ui.problems.bad_request"
handler403 = "batchops.admin.ui.problems.forbidden"
handler404 = "batchops.admin.ui.problems.not_found"
handler500 = "batchops.admin.ui.problems.server_error"

urlpatterns = [
    path("healthz", health.process, name="healthz"),
    path("readyz", health.readiness, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("", site.urls),
]
