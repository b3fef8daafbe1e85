"""A faithful, stateful fake of the vendor's outbound API, with faults on demand.

It stands apart: it imports nothing of the rest of the project, and no Django.
"""

from batchops.sandbox.embedded import EmbeddedSandbox, empty_world, make_batch, make_campaign
from batchops.sandbox.fault_values import InvalidFaults
from batchops.sandbox.faults import FaultKind, Faults

__all__ = [
    "EmbeddedSandbox",
    "FaultKind",
    "Faults",
    "InvalidFaults",
    "empty_world",
    "make_batch",
    "make_campaign",
]
