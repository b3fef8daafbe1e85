"""Why a message was not delivered."""

from __future__ import annotations


class DeliveryFailed(Exception):
    """The other side did not take a message; the words are its own, as far as it said any."""

    def __init__(self, words: str, *, status: int | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.status = status

    @property
    def is_gone(self) -> bool:
        """Whether the other side wants no more messages, ever."""
        return self.status == 410

    @property
    def is_refusal(self) -> bool:
        """Whether the same message will hardly be taken another time."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in _LATER


_LATER = (408, 409, 425, 429)
