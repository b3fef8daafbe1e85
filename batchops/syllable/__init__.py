"""The vendor's outbound API: a typed client that knows HTTP and no Django models."""
