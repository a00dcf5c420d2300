"""What stands for a number is one: a timedelta for seconds, and what has __index__ or __float__, as numpy's have."""

import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
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


class Real:
    """A float of another package, which is equal to nothing."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


class Both:
    """An array of one, which has both methods whatever is in it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __float__(self) -> float:
        return float(self.value)

    def __index__(self) -> int:
        if isinstance(self.value, int):
            return self.value
        raise TypeError("only integer scalar arrays can be converted to a scalar index")


class Scalar(Both):
    """A scalar as numpy's are, whose kind is a letter of its dtype."""

    def __init__(self, value: Any, kind: str) -> None:
        super().__init__(value)
        self.dtype = SimpleNamespace(kind=kind)


class Text(str):
    """Text that has the methods of numbers, as numpy's has."""

    def __index__(self) -> int:
        return int(self)

    def __float__(self) -> float:
        return float(self)


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


def test_waits_and_delays_are_timedeltas_too(tmp_path: Any) -> None:
    soon = timedelta(milliseconds=1)
    with Store(tmp_path / "s", durability="manual") as store:
        store["a"] = "b"
        assert store.checkpoint(wait=False).result(timedelta(minutes=1)).done()
        with store.session("name") as session:
            assert session.wait_durable(timeout=soon)
        with Store(tmp_path / "s", read_only=True, follow=timedelta(minutes=1)) as reader:
            assert reader["a"] == b"b"
    with oxidbm.Log(tmp_path / "l", keep_seconds=timedelta(days=1)) as log:
        log.append("entry")
        assert not log.wait(timeout=soon)
        log.commit()
        assert len(list(log.follow(timeout=soon))) == len(list(log.reader("a", follow=True, timeout=soon))) == 1
    with oxidbm.Queue(tmp_path / "q", redeliver_after=timedelta(hours=1), interval=timedelta(seconds=5)) as queue:
        queue.put("a", timeout=soon)
        queue.put("b", delay=timedelta(hours=1))
        message = queue.take()
        assert message.extend(timedelta(hours=2))
        assert message.nack(timedelta(hours=1))
        with pytest.raises(oxidbm.queue.Empty):
            queue.get(timeout=soon)


def test_values_without_a_codec_are_compared_as_bytes() -> None:
    """Also where the keys have one."""
    with Store(key=str) as store:
        store["a"] = "old"
        assert store.compare_and_set("a", "old", "new")
        assert not store.compare_and_set("a", "old", "newer")
        assert store["a"] == b"new"


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


@pytest.mark.parametrize("key", ["x", None, b"1"])
def test_what_else_asks_for_a_key_of_another_type_is_refused(key: Any) -> None:
    with Store(key=int, value=int) as store:
        calls: list[Any] = [
            lambda: store.get_many([key], 5), lambda: store.get_and_touch(key, 60, 5), lambda: store.pop(key, 5),
            lambda: store.delete(key), lambda: store.touch(key), lambda: store.setdefault(key, 5),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(TypeError, match="this store's keys are int"):
                call()
        assert not store.exists(key)


def test_in_a_store_of_bytes_it_is_a_mistake() -> None:
    with Store() as store:
        with pytest.raises(TypeError, match="keys are bytes or str, not int"):
            store.get(1)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="keys are bytes or str, not int"):
            assert 1 in store  # type: ignore[comparison-overlap]


SIX: Any = Index(6)
EIGHT: Any = Index(8)
INTS: list[Any] = [Index(5), Both(5), Scalar(5, "i"), Scalar(5, "u")]
NO_INTS: list[Any] = [
    Real(5.0), Both(5.0), Scalar(1, "b"), Scalar(5, "m"), Scalar(5.0, "f"), Text("5"), Decimal(5),
    Fraction(5), NoTruth(),
]  # fmt: skip


@pytest.mark.parametrize("number", INTS)
def test_what_is_an_int_is_the_same_key_and_comes_back_as_an_int(number: Any, tmp_path: Path) -> None:
    with Store(key=int, value=int, ordered=True) as store:
        store[number] = number
        assert list(store.items()) == [(5, 5)]
        assert {type(item) for pair in store.items() for item in pair} == {int}
        assert number in store
        assert store[number] == store.get(number) == store[5] == 5
        assert list(store.get_many([number])) == [5]
        assert store.compare_and_set(number, 5, SIX)
        assert store.incr(number, number) == 11
        store.set_many({number: number, 7: 7})
        assert [key for key, _ in store.range(number, EIGHT)] == [5, 7]
        assert store.next_key(number) == 7
        del store[number]
        assert number not in store
    pair: Any = codecs.Tuple(int, float, str)
    with Store(key=pair, value=pair, ordered=True) as tuples:
        tuples[number, number, "a"] = number, number, "b"
        assert list(tuples.items()) == [((5, 5.0, "a"), (5, 5.0, "b"))]
        assert [type(part) for part in next(iter(tuples))] == [int, float, str]
        assert list(tuples.prefix((number,))) == list(tuples.range((number, 5))) == list(tuples.items())
    with oxidbm.Log(tmp_path / "log", codec=int) as log, oxidbm.Queue(tmp_path / "queue", codec=int) as queue:
        log.append(number)
        queue.put(number)
        assert [item for _, item in log.scan(uncommitted=True)] == [queue.get()] == [5]


@pytest.mark.parametrize("number", [Index(1 << 80), Index(-1), Index(-(1 << 90)), Index(0)])
def test_ints_of_any_size(number: Index) -> None:
    with Store(key=int, value=int) as store:
        store[number] = number  # type: ignore[index, assignment]
        assert list(store.items()) == [(number.value, number.value)]
        with pytest.raises(OverflowError, match="too large for the codec 'int'"):
            store[1] = Index(1 << 2000)  # type: ignore[assignment]


@pytest.mark.parametrize("number", NO_INTS)
def test_what_is_no_int(number: Any) -> None:
    with Store(key=int, value=codecs.Tuple(int)) as store:
        store[5] = (5,)
        store[1] = (1,)
        assert number not in store
        assert store.get(number) is None
        with pytest.raises(TypeError, match=f"keys are int, not {type(number).__name__}"):
            store[number] = (5,)
        with pytest.raises(TypeError, match=f"the codec 'int' takes int, not .*{type(number).__name__}"):
            store[5] = (number,)
        assert len(store) == 2


FLOATS: list[Any] = [Real(0.5), Both(0.5), Scalar(0.5, "f"), Decimal("0.5"), Fraction(1, 2)]


@pytest.mark.parametrize("number", FLOATS)
def test_what_is_a_float_is_the_same_key_and_comes_back_as_a_float(number: Any) -> None:
    with Store(key=float, value=float, ordered=True) as store:
        store[number] = number
        assert list(store.items()) == [(0.5, 0.5)]
        assert {type(item) for pair in store.items() for item in pair} == {float}
        assert number in store
        assert store[0.5] == store.get(number) == 0.5
        assert [key for key, _ in store.range(number)] == [0.5]


def test_floats_of_others_have_one_zero_as_keys_and_one_nan() -> None:
    with Store(key=float, value=float) as store:
        store[Real(-0.0)] = Real(-0.0)  # type: ignore[index, assignment]
        store[Decimal("-0.0")] = store[0]  # type: ignore[index]
        assert [math.copysign(1, number) for pair in store.items() for number in pair] == [1, -1]
        store.clear()
        store[Real(math.nan)] = Real(math.nan)  # type: ignore[index, assignment]
        store[Decimal("nan")] = Decimal("nan")  # type: ignore[index, assignment]
        assert math.isnan(store[math.nan])
        assert len(store) == 1


@pytest.mark.parametrize(
    "number", [Scalar(True, "b"), Scalar(1.0, "c"), Scalar(5, "m"), Scalar(5, "M"), Text("0.5"), 1j, NoTruth(), b"1"]
)
def test_what_is_no_float(number: Any) -> None:
    with Store(key=float, value=float) as store:
        store[1] = store[5] = store[0.5] = 1
        assert number not in store
        words = f"takes float, not .*{type(number).__name__}"
        with pytest.raises(TypeError, match=words):
            store[number] = 1
        with pytest.raises(TypeError, match=words):
            store[1] = number
        assert list(store.values()) == [1.0] * 3


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (Decimal("0.1"), r"no float is equal to Decimal\('0.1'\), the nearest is 0.1; give float"),
        (Fraction(1, 3), "no float is equal to Fraction"),
        (Decimal("1e400"), "no float is equal to Decimal"),
        (Index(2**53 + 1), "no float is equal to 9007199254740993, the nearest is 9007199254740992.0"),
        (Fraction(10**400), "this Fraction is too large for a float"),
        (Index(10**400), "too large for the codec 'float'"),
    ],
)
def test_numbers_that_no_float_is_equal_to(number: Any, words: str) -> None:
    """They would come back as others."""
    with Store(key=float, value=float) as store:
        assert number not in store
        with pytest.raises((ValueError, OverflowError), match=words):
            store[1] = number
        with pytest.raises((ValueError, OverflowError), match=words):
            store[number] = 1
        assert len(store) == 0
