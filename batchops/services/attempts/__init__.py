"""One batch at the vendor: what is to be done, the attempt, and what it came to.

Runs in the threads of the dispatcher, which talk to the vendor and touch no database. Called by
the push engine.
"""
