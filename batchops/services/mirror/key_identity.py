"""Who the vendor says changed a batch when it was changed with our key.

No endpoint tells it; the replies to our updates do (`last_updated_by`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.utils import timezone

from batchops.models import KeyIdentity

LONGEST_NAME: Final = 255


def names() -> frozenset[str]:
    """Every name that updates made with our keys were shown under so far."""
    return frozenset(KeyIdentity.objects.values_list("name", flat=True))


def learn(shown: Iterable[str]) -> None:
    """Keep the names under which replies showed updates of ours."""
    wanted = {name for name in shown if 0 < len(name) <= LONGEST_NAME}
    if new := wanted - names():
        now = timezone.now()
        KeyIdentity.objects.bulk_create(
            [KeyIdentity(name=name, learnt_at=now) for name in sorted(new)], ignore_conflicts=True
        )
