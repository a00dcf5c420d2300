"""What all tests of threads share."""

import sys
from collections.abc import Iterator

import pytest

from oxidbm import _pure
from tests.support import PURE


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    """Let threads take turns a hundred times as often as usual; in pure mode after each call of a store."""
    if PURE:
        before, _pure.turns.seconds = _pure.turns.seconds, 0.0
        yield
        _pure.turns.seconds = before
        return
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)
