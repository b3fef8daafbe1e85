"""The push engine: makes confirmed changes so at the vendor, and records every single outcome.

`driver` is the way in, called by the worker, and by the web process for emergency pauses. Threads
of the dispatcher talk to the vendor and know no database.
"""
