"""What an anchor of the audit trail is, the keys that sign it, and the ways by which it leaves.

Called by what proves the trail.
"""
