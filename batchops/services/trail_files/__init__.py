"""The audit trail as files: exports for people and outsiders, archives of old entries.

Called by the pages and commands for reviewers.
"""
