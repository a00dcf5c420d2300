"""Store.memoize: which functions share results, which are told apart, and when a shared name is a warning."""

import math
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import pytest

import oxidbm
from tests.support import no_collection


@pytest.fixture
def store() -> Iterator[oxidbm.Store]:
    with oxidbm.Store(memory="4MiB") as store:
        yield store


class Account:
    """Something that cannot be part of a key."""

    def __init__(self, rate: int) -> None:
        self.rate = rate

    def price(self, number: int) -> int:
        """Return a number that depends on the object."""
        return self.rate * number


class Base:
    """A class with a method that depends on it."""

    factor = 1

    @classmethod
    def times(cls, number: int = 10) -> int:
        """Return a number that depends on the class."""
        return cls.factor * number

    @staticmethod
    def twice(number: int) -> int:
        """Return a number that depends on neither."""
        return 2 * number


class Sub(Base):
    """A class that inherits it."""

    factor = 2


def passing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls another."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize("wrap", [lambda method: method, passing_on, lambda method: passing_on(passing_on(method))])
def test_a_method_of_an_object_that_is_no_key_is_refused(store: oxidbm.Store, wrap: Any) -> None:
    words = r"price is a method of a .*Account, which cannot be part of a key; pass key="
    for name in (None, "price"):
        with pytest.raises(TypeError, match=words):
            store.memoize(name=name)(wrap(Account(1).price))
    one, two = Account(1), Account(2)
    first = store.memoize(key=lambda number: f"1 {number}")(wrap(one.price))
    second = store.memoize(key=lambda number: f"2 {number}")(wrap(two.price))
    assert [first(10), second(10), first(10), second(10)] == [10, 20, 10, 20]
    assert sorted(store) == [b"1 10", b"2 10"]


@pytest.mark.parametrize("wrap", [lambda method: method, passing_on])
@pytest.mark.parametrize("name", [None, "times"])
def test_inherited_classmethods_have_results_of_their_own(store: oxidbm.Store, name: str | None, wrap: Any) -> None:
    functions = [store.memoize(name=name)(wrap(kind.times)) for kind in (Base, Sub, Base, Sub)]
    assert [function() for function in functions] == [10, 20, 10, 20]
    assert len({function.cache_key() for function in functions}) == len(store) == 2
    assert b'\0[["class","tests.facade.test_memoize_names.Sub"],10]' in functions[1].cache_key()
    assert store.memoize()(Base.twice)(4) == store.memoize()(Sub.twice)(4) == 8


def test_methods_of_plain_objects_are_told_apart_by_them(store: oxidbm.Store) -> None:
    words = {word: store.memoize()(word.replace) for word in ("abc", "cba")}
    assert [words[word]("a", "x") for word in ("abc", "cba", "abc")] == ["xbc", "cbx", "xbc"]
    numbers = [1, 2]
    index = store.memoize(name="index")(numbers.index)
    assert index(2) == 1
    numbers.insert(0, 5)
    assert index(2) == 2
    assert store.memoize()(math.gcd)(12, 18) == 6


def test_functions_of_one_place_and_other_variables_are_a_warning(store: oxidbm.Store) -> None:
    def make(rate: Any) -> Callable[[int], Any]:
        @store.memoize()
        def price(number: int) -> Any:
            return number if number < 1 else (rate, price(number - 1))

        return price

    rates = [3, "text", [1, 2], len, make, math.inf, Account(1)]
    for i, rate in enumerate(rates):
        if i == 0:
            make(rate)
        else:
            with pytest.warns(RuntimeWarning, match="price") as caught:
                make(rate)
            assert len(caught) == 1
            assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rate in (Account(1).price, 5):
            with pytest.raises(RuntimeWarning, match="under one name in this store, and get each other's"):
                make(rate)
        for _ in range(3):
            make(5)
        with oxidbm.Store() as other:
            other.memoize()(passing_on(len))


def test_functions_of_other_code_are_a_warning_that_names_both_places(store: oxidbm.Store) -> None:
    def make(source: str, place: str) -> Any:
        space: dict[str, Any] = {"__name__": "shop"}
        exec(compile(source, place, "exec"), space)
        return space["price"]

    one = "def price(n):\n    return n * 2\n"
    moved = "\n\n\ndef price(n):\n    return n * 2\n"
    other = "\ndef price(n):\n    return n * 3\n"
    inner = "def price(n):\n    return (lambda: n * 3)()\n"
    store.memoize()(make(one, "one.py"))
    store.memoize()(make(moved, "moved.py"))
    with pytest.warns(RuntimeWarning, match=r"shop\.price at moved.py:4 and at other.py:2 .*name="):
        function = store.memoize()(make(other, "other.py"))
    assert function(7) == 21
    with pytest.warns(RuntimeWarning, match=r"shop\.price at other.py:2 and at inner.py:1"):
        assert store.memoize()(make(inner, "inner.py"))(7) == 21
    store.memoize(name="tariff")(make(one, "one.py"))
    with pytest.warns(RuntimeWarning, match=r"tariff at one.py:1 and at other.py:2"):
        store.memoize(name="tariff")(make(other, "other.py"))


def test_a_name_that_was_given_may_be_shared_by_functions_of_other_variables(store: oxidbm.Store) -> None:
    for account in (Account(1), Account(1)):
        assert store.memoize(name="price")(lambda number, of=None: account.price(number))(3) == 3  # noqa: B023


def test_a_recursion_that_ends_in_the_function_is_reported_as_itself(store: oxidbm.Store) -> None:
    @store.memoize()
    def endless(number: int) -> int:
        return endless(number + 1) + 1

    @store.memoize(codec="pickle")
    def with_pickle(number: int) -> int:
        return with_pickle(number + 1) + 1

    @store.memoize(key=lambda number: str(number), codec="json")  # noqa: PLW0108 - its frame is what it adds
    def with_json(number: int) -> int:
        return with_json(number + 1) + 1

    for function in (endless, with_pickle, with_json):
        with no_collection():
            for start in range(6):
                with pytest.raises(RecursionError):
                    function(start * 100_000)
    assert len(store) == 0


def test_a_read_without_stack_is_no_damaged_value() -> None:
    """Whatever depth it happens at, the error is the stack's."""
    with oxidbm.Store(key=str, value="objects") as store, no_collection():
        store["k"] = [[[[[[1]]]]]]

        def read(depth: int) -> Any:
            return store["k"] if depth == 0 else read(depth - 1)

        outcomes = set()
        for depth in range(sys.getrecursionlimit() - 250, sys.getrecursionlimit()):
            try:
                outcomes.add(str(read(depth)))
            except RecursionError:
                outcomes.add("RecursionError")
        assert outcomes == {"[[[[[[1]]]]]]", "RecursionError"}


def test_an_argument_that_contains_itself(store: oxidbm.Store) -> None:
    @store.memoize()
    def size(items: list[Any]) -> int:
        return len(items)

    items: list[Any] = []
    items.append(items)
    with pytest.raises(ValueError, match=r"size contains itself, or is nested too deeply for a key"):
        size(items)
