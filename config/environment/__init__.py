"""Reads the environment and `.env`, and says exactly what is wrong with a value."""
