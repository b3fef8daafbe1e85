"""The life of a change: chosen batches, drafts, confirmation, approval, ends of pauses.

Called by the pages and commands, for people, and by the worker for what is due.
"""
