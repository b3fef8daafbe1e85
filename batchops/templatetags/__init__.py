"""The tags and filters that templates use."""
