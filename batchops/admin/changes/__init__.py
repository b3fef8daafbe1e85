"""The pages of changes: preview, list, one change with its buttons."""
