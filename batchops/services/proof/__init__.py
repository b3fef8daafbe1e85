"""Proving the audit trail: anchoring, verification, and what was seen of it before.

Called by the worker, the commands, and the pages that say how the trail stands.
"""
