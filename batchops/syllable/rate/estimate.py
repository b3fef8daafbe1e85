"""What is learnt of the vendor's rate from its refusals; knows no clock and no threads.

No library does this: pyrate-limiter, aiolimiter, requests-ratelimiter and token-bucket keep a rate
that is known. The learning follows the adaptive retry mode of botocore and CUBIC (RFC 9438): none
is known until the vendor refuses; then the rate is lowered a little, comes back quickly to just
below where it was refused, stays there for a while, and goes on ever faster to see whether more is
allowed by now. Other than there, the rate refused at is not guessed: between two refusals a token
bucket, or a window, has let through exactly its rate, whatever its burst.

Time is counted in slots: each request uses up one, of the length that the rate gives at the moment.
So whoever has nothing to send learns nothing.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Final

LOWERED_TO: Final = (0.97, 0.9, 0.75)
"""What is left of the rate after a refusal, and after others that follow it at once."""
AT_ONCE_SECONDS: Final = 2.0
"""A refusal so soon after the last one means that the rate was not lowered enough."""
RETURN_SECONDS: Final = 8.0
"""After so long the rate is back where it was refused."""
RETURN_REQUESTS: Final = 80
"""The same in requests, where these take longer: each probe may cost one that is refused."""
LONGEST_RETURN_SECONDS: Final = 60.0
PROBE_SECONDS: Final = 9.0
"""So long after that it is twice as high, if the vendor lets it."""
FIRST_RATE: Final = 20.0
"""The least rate that is tried first after the first refusal."""
FAR_BEYOND: Final = 1.7
"""A rate so many times as high as the last one refused is more than a burst lets through."""
LEAST_RATE: Final = 0.5
"""Requests a second below which no rate is learnt; a vendor that allows less is closed at times."""


@dataclass(slots=True)
class Estimate:
    """What is known of the vendor's rate, in requests a second; infinity: nothing.

    The rate rises from `base` to `ceiling`, where it was refused, and beyond. `grown` are the
    seconds of slots since it was lowered last, `paced` those since the first of such refusals, in
    which the vendor let `accepted` requests through. `lowered` counts how often it was lowered.
    That is the least that is allowed; how far the rate refused at is trusted to be what is
    allowed, and not what a burst let through for a while, `trust` tells, from 0 to 1.
    """

    ceiling: float = math.inf
    base: float = math.inf
    grown: float = 0.0
    paced: float = 0.0
    accepted: int = 0
    lowered: int = 0
    repeated: int = 0
    trust: float = 1.0
    is_trusting: bool = False

    @property
    def rate(self) -> float:
        if math.isinf(self.ceiling):
            return self.ceiling
        back = min(max(RETURN_SECONDS, RETURN_REQUESTS / self.ceiling), LONGEST_RETURN_SECONDS)
        beyond = self.grown - back
        if beyond < 0:
            return self.ceiling - (self.ceiling - self.base) * (-beyond / back) ** 3
        return self.ceiling * (1 + (beyond / PROBE_SECONDS) ** 3)

    def as_json(self) -> dict[str, float]:
        """What is known as JSON can hold it, for `Estimate(**…)`: nothing stands for infinity."""
        return {name: value for name, value in asdict(self).items() if math.isfinite(value)}

    def lower(self, measured: float) -> None:
        """Take a refusal into account; `measured` is what was let through lately, a second."""
        rate = self.rate
        at_once = self.lowered > 0 and self.grown < AT_ONCE_SECONDS
        if math.isinf(rate):
            # Better too high: that is found out within moments.
            self.ceiling = max(measured, FIRST_RATE)
        elif at_once or not self.paced:
            self.trust = self.trust / 2 if self.is_trusting else self.trust
            self.ceiling, self.is_trusting = rate, False
        elif rate > FAR_BEYOND * self.ceiling:
            # More is allowed than was, and it was found while the rate rose steeply.
            self.ceiling = 0.9 * rate
        else:
            least = min(rate, self.accepted / self.paced)
            self.ceiling = least + self.trust * max(0.0, 0.98 * rate - least)
            self.trust, self.is_trusting = min(1.0, self.trust * 1.5), True
        self.repeated = min(self.repeated + 1, len(LOWERED_TO) - 1) if at_once else 0
        self.ceiling = max(LEAST_RATE, self.ceiling)
        self.base = max(LEAST_RATE, LOWERED_TO[self.repeated] * self.ceiling)
        self.grown = 0.0
        self.lowered += 1
        if not at_once:
            self.paced, self.accepted = 0.0, 0

    def begin_gently(self) -> None:
        """Come back to the ceiling from well below."""
        self.base, self.grown = max(LEAST_RATE, LOWERED_TO[-1] * self.ceiling), 0.0

    def joined(self, known: Estimate, since: Estimate) -> Estimate:
        """This and what others have learnt meanwhile; `since`: what all knew when they last met."""
        if self.lowered == since.lowered and known.lowered == since.lowered:
            return replace(
                known,
                grown=known.grown + self.grown - since.grown,
                paced=known.paced + self.paced - since.paced,
                accepted=known.accepted + self.accepted - since.accepted,
            )
        if self.lowered == since.lowered or (
            known.lowered != since.lowered and known.rate <= self.rate
        ):
            return replace(known)
        return replace(self, lowered=max(self.lowered, known.lowered + 1))
