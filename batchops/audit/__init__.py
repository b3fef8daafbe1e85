"""The way into the audit trail: facts, who acted, and the form that is hashed.

Everything that changes something calls `record` in the transaction of what it records. This package
calls nothing but the models.
"""

from batchops.audit.recording import (
    GENESIS,
    SYSTEM,
    VENDOR,
    Action,
    Actor,
    ActorKind,
    Fact,
    acting_as,
    acting_request,
    at_terminal,
    canonical,
    chain_hash,
    client_ip,
    current_actor,
    locked_head,
    machine_account,
    of_command_line,
    record,
    record_now,
    row_of,
    storable_text,
)

__all__ = [
    "GENESIS",
    "SYSTEM",
    "VENDOR",
    "Action",
    "Actor",
    "ActorKind",
    "Fact",
    "acting_as",
    "acting_request",
    "at_terminal",
    "canonical",
    "chain_hash",
    "client_ip",
    "current_actor",
    "locked_head",
    "machine_account",
    "of_command_line",
    "record",
    "record_now",
    "row_of",
    "storable_text",
]
