"""Backups of the database, and how they come back: for the commands `backup` and `restore` alone.

`service` says what happens in which order; `sqlite` and `postgres` know how the one and the other
database is copied, looked into, and replaced.
"""
