"""Who may do what: the permissions' names, and the groups kept after each migrate."""

from __future__ import annotations

from typing import Any, Final

VIEW_BATCHES: Final = "batchops.view_batch"
VIEW_HISTORY: Final = "batchops.view_batch_history"
SET_TIME_ZONE: Final = "batchops.set_time_zone"
RUN_SYNC: Final = "batchops.run_sync"
VIEW_CHANGES: Final = "batchops.view_change"
REQUEST_CHANGE: Final = "batchops.request_change"
EXPAND_OUTREACH: Final = "batchops.expand_outreach"
CONTROL_CHANGE: Final = "batchops.control_change"
APPROVE_CHANGE: Final = "batchops.approve_change"
OVERRIDE_HOLDS: Final = "batchops.override_holds"
VIEW_TRAIL: Final = "batchops.view_auditentry"
EXPORT_TRAIL: Final = "batchops.export_auditentry"
REVIEW_TRAIL: Final = "batchops.review_auditentry"
ARCHIVE_TRAIL: Final = "batchops.archive_auditentry"
ACKNOWLEDGE_TRAIL: Final = "batchops.acknowledge_auditentry"
KEEP_CHANNELS: Final = "batchops_notices.keep_channels"
KEEP_FREEZES: Final = "batchops_release_windows.keep_freezes"

_VIEW: Final = (
    *("view_batch", "view_batch_history", "view_campaign"),
    *("view_change", "view_changeitem", "view_syncrun"),
)

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "Viewer": _VIEW,
    "Operator": (*_VIEW, "run_sync", "request_change", "expand_outreach", "control_change"),
    "Approver": (*_VIEW, "approve_change", "control_change", "override_holds", "keep_freezes"),
    "Auditor": (*_VIEW, "view_auditentry", "export_auditentry", "review_auditentry"),
}


def keep_groups(**_: Any) -> None:
    """Create the groups and give them their permissions; what an administrator added stays."""
    from django.apps import apps
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission

    labels = ("batchops", "batchops_release_windows")
    for label in labels:
        create_permissions(apps.get_app_config(label), verbosity=0)
    for name, codenames in GROUPS.items():
        group, _created = Group.objects.get_or_create(name=name)
        group.permissions.add(
            *Permission.objects.filter(content_type__app_label__in=labels, codename__in=codenames)
        )
