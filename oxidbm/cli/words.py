"""What people read and write: names, sizes, durations and times as text, and back. Needs neither typer nor rich.

What is not printable is escaped, so that a key is one line and no value can steer the terminal. What `readable` makes
of bytes, `unescaped` makes bytes again: so what a command has printed can be given to another one with --escaped. JSON
is escaped by its own rules, and is JSON before and after.
"""

import re
import time
from typing import Final

from oxidbm._plain import Plain

UNITS: Final = ("KiB", "MiB", "GiB", "TiB")
SECONDS: Final = {
    "": 1.0, "ms": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
    "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0,
    "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86_400.0, "day": 86_400.0, "days": 86_400.0,
    "w": 604_800.0, "week": 604_800.0, "weeks": 604_800.0,
}  # fmt: skip
PART: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]*)", re.IGNORECASE)
ESCAPE: Final = re.compile(
    rb"\\(?:([\\abfnrtv'\"0])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))", re.DOTALL
)
LETTERS: Final = {
    b"\\": b"\\", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v",
    b"'": b"'", b'"': b'"', b"0": b"\0",
}  # fmt: skip
AGO: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
DAYS_AGO_MAX: Final = 30  # what is longer ago is said by its date
ASTRAL: Final = 0x10000


def shown(character: str) -> str:
    """Return a character, or how it is escaped where it is not printable."""
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if 0x80 <= code <= 0xFF:  # \x85 is the byte, and this takes two
        return f"\\u{code:04x}"
    return character.encode("unicode_escape").decode()


def one_line(text: str) -> str:
    """Return a message as one line, in which no name that it holds can steer the terminal."""
    if text.isprintable():
        return text
    return "".join(character if character == "\\" else shown(character) for character in text)


def readable(data: bytes) -> str:
    r"""Return bytes as one line of text; what is not printable UTF-8 as \n, \x00 and so on."""
    text = data.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(shown, text))


def unescaped(text: bytes) -> bytes:
    """Return the bytes that `readable` has shown so; ValueError for a backslash that begins no escape."""

    def meant(found: re.Match[bytes]) -> bytes:
        letter, byte, short, long, other = found.groups()
        if letter is not None:
            return LETTERS[letter]
        if byte is not None:
            return bytes.fromhex(byte.decode())
        if other is not None:
            raise ValueError(
                f"in {readable(text[:80])} nothing is known of the backslash before {readable(other) or 'the end'}; "
                "a backslash itself is written as two"
            )
        try:
            return chr(int(short or long, 16)).encode("utf-8", "surrogatepass")
        except (ValueError, OverflowError):
            raise ValueError(f"there is no character {readable(found.group())}") from None

    return ESCAPE.sub(meant, text)


def json_line(text: str) -> str:
    """Return a text of JSON as one printable line, which is the same JSON."""
    if text.isprintable():
        return text
    parts = []
    for character in text:
        code = ord(character)
        if character.isprintable():
            parts.append(character)
        elif code < ASTRAL:
            parts.append(f"\\u{code:04x}")
        else:
            high, low = divmod(code - ASTRAL, 0x400)
            parts.append(f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}")
    return "".join(parts)


def text_of(codec: Plain, data: bytes) -> str:
    """Return what a codec's bytes stand for as a line of text; DecodeError where it did not write them."""
    text = codec.to_text(data)
    return json_line(text.decode("utf-8", "surrogatepass")) if codec.is_json else readable(text)


def size(count: int) -> str:
    """Return a number of bytes with a unit."""
    if count < 1024:
        return f"{count} B"
    amount = float(count)
    for unit in UNITS:
        amount /= 1024
        if amount < 1023.95 or unit == UNITS[-1]:
            break
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}"


def counted(count: int, what: str, several: str | None = None) -> str:
    """Return a number of things in words; `several` is the plural where that is not made with an s."""
    return f"{count:,} {what if count == 1 else several or what + 's'}"


def items(count: int) -> str:
    """Return a number of items in words."""
    return counted(count, "item")


def seconds_of(expiry: int) -> float | None:
    """Return when a record expires in seconds since 1970, as all times in JSON; None for never."""
    return expiry / 1000 if expiry else None


def instant(seconds: float | None) -> str:
    """Return a time as text that stays true."""
    if seconds is None:
        return "not committed yet"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def ago(seconds: float | None, now: float | None = None) -> str:
    """Return a time as people say it, as in "3 min ago"; the date where that is long ago, or in the future."""
    if seconds is None:
        return instant(None)
    passed = int((time.time() if now is None else now) - seconds)
    if not 0 <= passed < DAYS_AGO_MAX * 86_400:
        return instant(seconds)
    for length, unit in AGO:
        if passed >= length:
            return f"{passed // length} {unit} ago"
    return "just now"


def seconds_in(text: str) -> float:
    """Return a duration in seconds: 90, 15m, 2h, 1h30m, 3d; ValueError for what is none."""
    end = 0
    total = 0.0
    bare = False
    while end < len(text.rstrip()):
        found = PART.match(text, end)
        if found is None or found[2].lower() not in SECONDS or bare:
            total = -1.0
            break
        bare = not found[2]  # 1h30 may be minutes or seconds, so it is neither
        if bare and end:
            total = -1.0
            break
        total += float(found[1]) * SECONDS[found[2].lower()]
        end = found.end()
    if total < 0 or not end:
        raise ValueError(
            f"{one_line(text)!r} is no duration: write a number of seconds, or a number and ms, s, m, h, d or w, "
            "as in 90, 15m, 2h, 1h30m, 3d"
        )
    return total
