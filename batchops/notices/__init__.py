"""What is worth a word, and to whom: raised from the audit trail and from how things stand.

The audit trail is the outbox: a fact is committed with what it records, and a worker takes it up
from there, so that nothing that pushes waits for a notice and none is lost.
"""
