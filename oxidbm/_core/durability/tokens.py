"""The tokens by which checkpoints are known: the number of a commit, and what no other one has; and what is none."""

import os
from typing import Final

SEQUENCE_DIGITS: Final = 12
RANDOM_DIGITS: Final = 8
TOKEN_SHOWN: Final = 40  # characters of what may be anything


def token_for(sequence: int) -> str:
    """Return a token that no other checkpoint has; tokens sort as their commits do."""
    return f"{sequence:0{SEQUENCE_DIGITS}d}-{os.urandom(RANDOM_DIGITS // 2).hex()}"


def is_token(name: str) -> bool:
    """Return whether a name is a token."""
    number, hyphen, word = name.partition("-")
    digits = number.isascii() and number.isdigit() and len(number) >= SEQUENCE_DIGITS
    return digits and bool(hyphen) and len(word) == RANDOM_DIGITS and not set(word) - set("0123456789abcdef")


def commit_in(token: str) -> int:
    """Return the number of the commit that a checkpoint of this token is of; -1 for what is no token."""
    return int(token.partition("-")[0]) if is_token(token) else -1


def shown_token(token: str) -> str:
    """Return what messages call a token that somebody gave: as it is, or, where it is none, quoted and cut."""
    if is_token(token) and len(token) <= TOKEN_SHOWN:
        return token
    return repr(token[:TOKEN_SHOWN]) + ("..." if len(token) > TOKEN_SHOWN else "")
