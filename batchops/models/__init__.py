"""The tables: mirrors, changes, syncs and the audit trail."""

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
    BatchCount,
    BatchCountQuerySet,
    BatchQuerySet,
    BatchQuestions,
    Campaign,
    KeyIdentity,
    KnownStatus,
)
from batchops.models.change import (
    DRAFT_STATES,
    ENDED_STATES,
    OPEN_STATES,
    RUNNABLE_STATES,
    Change,
    ChangeQuerySet,
    ChangeState,
)
from batchops.models.change_item import (
    SUCCESS_STATES,
    TROUBLE_STATES,
    UNSETTLED_STATES,
    ChangeItem,
    ItemState,
)
from batchops.models.denials import DeniedTries
from batchops.models.heartbeat import Heartbeat
from batchops.models.hold import Hold, HoldOverride
from batchops.models.pasted_ids import PastedIds
from batchops.models.quota import Quota
from batchops.models.sync import SyncRun
from batchops.models.vendor_rate import VendorRate

__all__ = [
    "DRAFT_STATES",
    "ENDED_STATES",
    "ENDED_STATUSES",
    "OPEN_STATES",
    "RUNNABLE_STATES",
    "SUCCESS_STATES",
    "TROUBLE_STATES",
    "UNSETTLED_STATES",
    "Action",
    "ActorKind",
    "AuditEntry",
    "AuditHead",
    "AuditLease",
    "AuditOutlet",
    "AuditReviewedRange",
    "Batch",
    "BatchCount",
    "BatchCountQuerySet",
    "BatchQuerySet",
    "BatchQuestions",
    "Campaign",
    "Change",
    "ChangeItem",
    "ChangeQuerySet",
    "ChangeState",
    "DeniedTries",
    "Heartbeat",
    "Hold",
    "HoldOverride",
    "ItemState",
    "KeyIdentity",
    "KnownStatus",
    "PastedIds",
    "Quota",
    "SyncRun",
    "VendorRate",
]
