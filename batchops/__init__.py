"""batchops: pause, resume and expire Syllable outbound batches in bulk, with an audit trail."""

__version__ = "0.1.0"
