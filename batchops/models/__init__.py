"""The tables: mirrors, changes, pulls and the audit trail."""

from batchops.models.audit import (
    Action,
    ActorKind,
    AuditEntry,
    AuditHead,
    AuditLease,
    AuditOutlet,
    AuditReviewedRange,
)
from batchops.models.batch import (
    ENDED_STATUSES,
    Batch,
    BatchQuerySet,
    Campaign,
    KeyIdentity,
    KnownStatus,
)
from batchops.models.change import Change, ChangeItem, ChangeQuerySet
from batchops.models.denials import DeniedTries
from batchops.models.heartbeat import Heartbeat
from batchops.models.pasted_ids import PastedIds
from batchops.models.quota import Quota
from batchops.models.sync import SyncRun

__all__ = [
    "ENDED_STATUSES",
    "Action",
    "ActorKind",
    "AuditEntry",
    "AuditHead",
    "AuditLease",
    "AuditOutlet",
    "AuditReviewedRange",
    "Batch",
    "BatchQuerySet",
    "Campaign",
    "Change",
    "ChangeItem",
    "ChangeQuerySet",
    "DeniedTries",
    "Heartbeat",
    "KeyIdentity",
    "KnownStatus",
    "PastedIds",
    "Quota",
    "SyncRun",
]
