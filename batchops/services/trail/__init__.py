"""Reading the audit trail: search, sentences, sign-off, reports.

Called by the pages and commands for reviewers, and by what proves the trail.
"""
