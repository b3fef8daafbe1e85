"""The mirror of the vendor's batches and campaigns: syncs, what a reading proves, how fresh it is.

Called by the pages, the worker, and by all services that need to know how a batch is. It knows of
changes only what may be our own doing at the vendor.
"""
