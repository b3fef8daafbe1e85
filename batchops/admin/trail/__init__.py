"""The pages of the audit trail: entries, review desk, report."""
