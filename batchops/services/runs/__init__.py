"""A change around its push: may it run, whose turn is it, comparing before, reading back.

Called by the push engine and the worker.
"""
