"""What stands for a number is one: a timedelta for seconds, and what has __index__ or __float__, as numpy's have."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import oxidbm
from oxidbm import Store, codecs


class Index:
    """An int of another package."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class NoTruth:
    """As the truth of numpy, which has the method and refuses it."""

    def __index__(self) -> int:
        raise TypeError("no int")


SECONDS: list[Any] = [60, 60.0, timedelta(minutes=1), Index(60), Decimal(60), Fraction(120, 2)]


@pytest.mark.parametrize("seconds", SECONDS)
def test_how_long_a_key_lives(seconds: Any) -> None:
    with Store(clock=lambda: 1000.0) as store:
        store.set(b"set", b"", expire=seconds)
        store.add(b"add", b"", expire=seconds)
        store.set_many({b"many": b""}, expire=seconds)
        store.incr(b"incr", expire=seconds)
        store[b"touch"] = b""
        store.touch(b"touch", expire=seconds)
        with store.batch() as batch:
            batch.set(b"batch", b"", expire=seconds)
        calls = []

        @store.memoize(expire=seconds)
        def function(number: int) -> bytes:
            calls.append(number)
            return b"%d" % number

        assert function(1) == function(1) == b"1"
        assert calls == [1]
        assert {store.ttl(key) for key in store} == {60.0}
        assert len(store) == 7


@pytest.mark.parametrize("seconds", [True, "60", b"60", [60], NoTruth(), object(), 1j])
def test_what_is_no_number_of_seconds(seconds: Any) -> None:
    with Store() as store, pytest.raises(TypeError, match="expire is a number of seconds, a timedelta or None, not"):
        store.set(b"a", b"", expire=seconds)


@pytest.mark.parametrize(
    "seconds", [0, -1, timedelta(0), timedelta(days=-1), float("nan"), 10**400, Decimal("Infinity")]
)
def test_what_is_no_time_to_live(seconds: Any) -> None:
    with Store() as store, pytest.raises(ValueError, match="expire is a number of seconds above 0"):
        store.set(b"a", b"", expire=seconds)


def test_other_times_are_timedeltas_too(tmp_path: Any) -> None:
    with Store(tmp_path / "s", interval=timedelta(seconds=5)) as store:
        store.compact(timeout=timedelta(seconds=1))
        store.session("name").close()
        assert store.forget_sessions(unused_for=timedelta(hours=1)) == []
    with oxidbm.Log(tmp_path / "l", interval=timedelta(seconds=5)) as log:
        log.append(b"entry")


def test_counters() -> None:
    with Store() as store:
        assert store.incr(b"a", Index(5)) == 5
        assert store.decr(b"a", Index(2)) == 3
        assert store.incr(b"b", 1, Index(10)) == 11
        for delta in (1.5, "1", None, True, NoTruth()):
            with pytest.raises(TypeError, match="delta is an int, not"):
                store.incr(b"a", delta)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="default is an int, not"):
            store.incr(b"c", 1, "0")  # type: ignore[call-overload]
        assert store[b"a"] == b"3"


OTHERS: list[tuple[Any, Any, list[Any]]] = [
    (int, 1, ["1", None, 1.5, b"1", True, (1,), 1 << 2000]),
    (str, "1", [1, None, b"1", "\ud800"]),
    (float, 1.0, ["1", None, 2**70 + 1]),
    (codecs.Tuple(int, str), (1, "a"), [1, (1,), ("a", 1), (1, "a", 2), None]),
    ("objects", (1, "a"), [object(), {"a": object()}]),
]


@pytest.mark.parametrize(("key", "one", "others"), OTHERS)
def test_a_key_of_another_type_is_not_there(key: Any, one: Any, others: list[Any]) -> None:
    """As in a dict; to write it, and to ask for it by [], is an error that says what is wrong."""
    with Store(key=key, value=int) as store:
        store[one] = 1
        for other in others:
            assert other not in store
            assert store.get(other) is None
            assert store.get(other, 5) == 5
            with pytest.raises((TypeError, ValueError, OverflowError)):
                store[other]
            with pytest.raises((TypeError, ValueError, OverflowError)):
                store[other] = 1
        assert one in store
        assert store.get(one) == 1


def test_in_a_store_of_bytes_it_is_a_mistake() -> None:
    with Store() as store:
        with pytest.raises(TypeError, match="keys are bytes or str, not int"):
            store.get(1)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="keys are bytes or str, not int"):
            assert 1 in store  # type: ignore[comparison-overlap]
