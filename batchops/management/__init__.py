"""The same services from a command line: a module for each command, and what they share."""
