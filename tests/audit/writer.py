"""A process that records in transactions of several facts, every fifth of which is rolled back.

python -m tests.audit.writer DATABASE_NAME PROCESS TRANSACTIONS
"""

from __future__ import annotations

import os
import sys

import django
from django.conf import settings


def main(name: str, process: str, transactions: int) -> None:
    settings.DATABASES["default"]["NAME"] = name
    django.setup()

    from django.db import transaction

    from batchops import audit
    from tests.audit import trail

    for number in range(transactions):
        with transaction.atomic():
            audit.record(*(trail.fact(number, reference=process) for _ in range(3)))
            audit.record(trail.fact(number, reference=process))
            if number % 5 == 4:
                transaction.set_rollback(True)


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
