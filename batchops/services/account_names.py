"""Names of accounts: none passes for the system, or for another account, be it gone or renamed.

The trail shows people by their names, so a name that looks like another is a false signature.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from batchops.models import ActorKind, AuditEntry

SYSTEM_NAMES: Final = frozenset(
    (
        *("batchops", "vendor", "system", "command line", "unknown", "nobody", "somebody"),
        *("no account", "worker", "schedule", "scheduler", "anonymous"),
    )
)
"""Names under which the trail shows what no account did."""
_ALLOWED_SIGNS: Final = frozenset("@.+-_")
_BLANK_LETTERS: Final = frozenset("\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters of which nothing is seen."""
_LOOK_ALIKES: Final = str.maketrans(
    # Letters of Cyrillic, Armenian, Greek and rarer Latin, and two digits: what they look like.
    (
        "\u0430\u0432\u0433\u0435\u043a\u043c\u043d\u043e\u043f\u0440\u0441\u0442\u0443\u0445"
        "\u044c\u0455\u0456\u0458\u04bb\u0501\u051b\u051d\u04cf\u0475"
        "\u0578\u057d\u0585\u0570\u0581\u0566"
        "\u03b1\u03b2\u03b3\u03b5\u03b7\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u03c9"
        "\u03f2\u03f3"
        "\u0131\u0251\u0261\u0269\u029f\u00f8\u0111\u0142\u0127\u0167"
        "01"
    ),
    ("abrekmhonpctyxbsijhdqwlvnuohgqabyenikvoptuxwcjiagilodlhtol"),
)
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("i", "l"))
_SEPARATORS: Final = re.compile(r"[@.+\-_\s]+")
_NUMBER_AT_END: Final = re.compile(r"[\d@.+\-_\s]+\Z")


def check(name: str) -> None:
    """Refuse a new name that could pass for the system or for another account.

    Raises ValidationError. A name that an account has already is not judged again.
    """
    # PostgreSQL takes no NUL in a text.
    if "\0" not in name and User.objects.filter(username=name).exists():
        return
    _require_plain(name)
    bare = _bare(name)
    if bare in _SYSTEM or _bare("batchops") in bare:
        raise ValidationError(
            "This name could be mistaken for batchops itself. Choose another one."
        )
    shape = skeleton(name)
    for other in User.objects.values_list("username", flat=True).iterator():
        if skeleton(other) == shape:
            raise ValidationError(
                f"This name looks like that of the account “{other}”. Choose another one."
            )
    if AuditEntry.objects.filter(actor_name=name, actor_kind=ActorKind.PERSON).exists():
        raise ValidationError(
            "The audit trail shows this name for an account that acted and is now gone or renamed. "
            "Choose another one."
        )


def skeleton(name: str) -> str:
    """What a reader sees of a name: names with the same skeleton can be taken for each other."""
    folded = unicodedata.normalize("NFKD", name.casefold())
    seen = "".join(one for one in folded if not unicodedata.combining(one)).translate(_LOOK_ALIKES)
    for pair, one in _PAIRS:
        seen = seen.replace(pair, one)
    return seen


def _require_plain(name: str) -> None:
    if not name:
        raise ValidationError("Give a name.")
    if unicodedata.normalize("NFKC", name) != name:
        raise ValidationError("This name contains characters that only look like others.")
    scripts = set()
    for character in name:
        if unicodedata.category(character)[0] in "LM" and character not in _BLANK_LETTERS:
            scripts.add(_script(character))
        elif not (character in _ALLOWED_SIGNS or character.isdecimal()):
            raise ValidationError("Use letters, digits and @ . + - _ only.")
    if len(scripts) > 1:
        raise ValidationError("This name mixes letters from several alphabets.")


def _script(character: str) -> str:
    """The alphabet of a letter, as its Unicode name begins; marks belong to any."""
    word = unicodedata.name(character, "UNKNOWN").split()[0]
    return "JAPANESE" if word in ("CJK", "HIRAGANA", "KATAKANA") else word


def _bare(name: str) -> str:
    """Without separators and the number at its end: "vendor-2" is still the vendor."""
    return _SEPARATORS.sub("", skeleton(_NUMBER_AT_END.sub("", name)))


_SYSTEM: Final = frozenset(map(_bare, SYSTEM_NAMES))
