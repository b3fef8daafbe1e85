"""The settings, read and checked from the environment and `.env`; gunicorn, logs, servers."""
