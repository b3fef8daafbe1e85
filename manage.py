#!/usr/bin/env python
"""Django's command line for batchops."""

import os
import sys

if __name__ == "__main__":
    # What is made for all to read, such as the static files, is nobody else's to write.
    os.umask(os.umask(0) | 0o022)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
