"""Property tests here measure what is true, not how fast a busy machine finds out."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
