"""`Store.memoize`: keep a function's results in a store, and run it once for calls that come together.

1. A result is stored under a key that depends on the function's name, the object that it is bound to and its arguments
   only, never on the process, so it is found again after reopening. Arguments that compare equal but differ in type (1,
   1.0, True) have keys of their own; the order of a dict's or a set's items and of keyword arguments makes no
   difference.
2. A flight is one call under way, the leader's. Calls with the same key that come meanwhile wait for it: threads among
   themselves, the tasks of one event loop among themselves. Then they read the store. Where the leader raised or was
   cancelled they find nothing, and one of them leads the next flight.
3. No call waits for a flight that waits for it, through however many others: such a call runs the function itself.
   Which flights a call belongs to is a context variable, so it holds for the tasks and the threads (asyncio.to_thread)
   that a function starts.
4. Reading and writing the store happen in the calling thread, also for a coroutine function.
5. In a forked child, to which the parent's store is closed, a function is called each time.
"""

import functools
import inspect
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from hashlib import blake2b
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, cast, overload

from oxidbm import codecs
from oxidbm._codec_types import stack_is_deep
from oxidbm._core.arguments import number_of
from oxidbm._core.errors import ClosedError
from oxidbm._core.life import FORKED, Life
from oxidbm._core.seconds import EXPIRE_SECONDS_MAX
from oxidbm._memoize_names import Origin, checked_name, owner_of, take_name, unfit_argument

KEY_BYTES_MAX: Final = 512  # a longer default key holds a hash of the arguments in their place
MISSING: Final = object()

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
F = TypeVar("F", bound="Flight")


class ResultStore(Protocol):
    """What is used of a store."""

    @property
    def life(self) -> Life:
        """Whether the store is open."""

    @property
    def memoized(self) -> dict[tuple[str, bytes], Origin]:
        """Where the functions come from whose results the store keeps, by their names and what they are bound to."""

    @property
    def key_codec(self) -> str:
        """The name of the codec of the keys; "bytes" where there is none."""

    @property
    def value_codec(self) -> str:
        """The name of the codec of the values; "bytes" where there is none."""

    def get(self, key: Any, default: Any = None, /) -> Any:
        """Return the key's value, or `default`."""

    def get_and_touch(self, key: Any, expire: float | None, default: Any = None, /) -> Any:
        """Return the key's value, or `default`; a value expires in so many seconds from now on."""

    def set(self, key: Any, value: Any, expire: float | None = None, /, **more: Any) -> None:
        """Store a value that expires in so many seconds; with a `tag`, where there is one."""

    def __delitem__(self, key: Any, /) -> None:
        """Remove a key; KeyError where it has no value."""


class Memoized(Protocol[P, R_co]):
    """A function whose results are kept in a store: called as before, with three attributes besides."""

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The function itself, which runs each time it is called."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return the stored result, after running the function where there is none."""

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return the key under which the result for these arguments is stored."""

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the result for these arguments; return whether there was one. A call under way stores its own."""

    @overload
    def __get__(self, instance: None, owner: type, /) -> "Memoized[P, R_co]": ...
    @overload
    def __get__(
        self: "Memoized[Concatenate[Any, Q], R]", instance: object, owner: type | None = None, /
    ) -> Callable[Q, R]:
        """Return the method of an instance."""


Memoized.__module__ = "oxidbm"  # where users find it


class Results:
    """The results of one function in a store."""

    def __init__(
        self, store: ResultStore, codec: "codecs.Codec[Any] | None", expire: float | None, sliding: bool, tag: Any
    ) -> None:
        self.store = store
        self.codec = codec
        self.expire = expire
        self.sliding = sliding
        self.more = {} if tag is None else {"tag": tag}  # a store of the user's own need not know tags

    def load(self, key: Any) -> Any:
        """Return a result, or MISSING; what does not decode was written by another codec and is none."""
        try:
            data = self.store.get_and_touch(key, self.expire, MISSING) if self.sliding else self.store.get(key, MISSING)
        except codecs.DecodeError:
            return MISSING
        if self.codec is None or data is MISSING:
            return data
        try:
            return self.codec.decode(data)
        except ValueError:
            return MISSING

    def save(self, key: Any, result: Any) -> None:
        """Store a result; raise what the codec raises for one that it does not take."""
        data = result if self.codec is None else self.codec.encode(result)
        try:
            self.store.set(key, data, self.expire, **self.more)
        except ClosedError:
            if not self.forked():  # by the function itself
                raise

    def forked(self) -> bool:
        """Return whether the store was opened by the process that forked this one."""
        return self.store.life.state == FORKED

    def drop(self, key: Any) -> bool:
        """Remove a result; return whether there was one."""
        try:
            del self.store[key]
        except KeyError:
            return False
        return True


class Flight:
    """One call under way."""

    def __init__(self) -> None:
        self.waits_for: list[Flight] = []


class ThreadFlight(Flight):
    """A call that other threads can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way = threading.Lock()
        self.under_way.acquire()

    def wait(self) -> None:
        """Return when the flight has ended."""
        try:
            with self.under_way:
                pass
        finally:
            leave(self)

    def land(self) -> None:
        """Wake the threads that wait."""
        self.under_way.release()


class TaskFlight(Flight):
    """A call that other tasks of its event loop can wait for."""

    def __init__(self) -> None:
        import asyncio

        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.landed = asyncio.Event()

    async def wait(self) -> None:
        """Return when the flight has ended. Each task waits for a future of its own, so it can be cancelled alone."""
        try:
            await self.landed.wait()
        finally:
            leave(self)

    def land(self) -> None:
        """Wake the tasks that wait; a loop that was closed with the call under way has none that could wake."""
        if not self.loop.is_closed():
            self.landed.set()


# Reentrant, since the garbage collector may end a waiting coroutine, which leaves its flight, at any point. A forked
# child must not find it held by a thread that it does not have.
GUARD: Final = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=GUARD.acquire, after_in_parent=GUARD.release, after_in_child=GUARD.release)
LED: ContextVar[tuple[Flight, ...]] = ContextVar("LED", default=())


def join(flights: dict[Any, F], key: Any, mine: F) -> F | None:
    """Return `mine` where the caller leads now, else the flight to wait for; None where it would wait for itself."""
    led = LED.get()
    with GUARD:
        flight = flights.setdefault(key, mine)
        if flight is mine:
            return mine
        if waits_for_any(flight, led):
            return None
        for own in led:
            own.waits_for.append(flight)
        return flight


def leave(flight: Flight) -> None:
    """Wait for a flight no longer."""
    with GUARD:
        for own in LED.get():
            if flight in own.waits_for:
                own.waits_for.remove(flight)


def waits_for_any(flight: Flight, led: tuple[Flight, ...]) -> bool:
    """Tell whether a flight is one of those, or waits for one of them, itself or through others."""
    seen = set()
    pending = [flight]
    while pending:
        flight = pending.pop()
        if flight in led:
            return True
        if flight not in seen:
            seen.add(flight)
            pending += flight.waits_for
    return False


def guard_function(function: Callable[P, R], make_key: Callable[P, Any], results: Results) -> Callable[P, R]:
    """Return the function with its results stored; one body, since a recursive function pays for every frame."""
    flights: dict[Any, ThreadFlight] = {}

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        key = make_key(*args, **kwargs)
        try:
            value = results.load(key)
        except ClosedError:
            if not results.forked():
                raise
            return function(*args, **kwargs)
        if value is not MISSING:
            return cast(R, value)
        mine = ThreadFlight()
        while (flight := join(flights, key, mine)) is not mine:
            if flight is None:
                return function(*args, **kwargs)
            flight.wait()
            value = results.load(key)
            if value is not MISSING:
                return cast(R, value)
        context = LED.set((*LED.get(), mine))
        try:
            value = results.load(key)  # a flight may have ended between the first look and this one's begin
            if value is MISSING:
                value = function(*args, **kwargs)
                results.save(key, value)
            return cast(R, value)
        finally:
            del flights[key]
            mine.land()
            LED.reset(context)

    return wrapper


def guard_coroutine_function(function: Callable[P, Any], make_key: Callable[P, Any], results: Results) -> Any:
    """Return the coroutine function with its results stored; a flight per key and event loop."""
    flights: dict[Any, TaskFlight] = {}

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        key = make_key(*args, **kwargs)
        try:
            value = results.load(key)
        except ClosedError:
            if not results.forked():
                raise
            return await function(*args, **kwargs)
        if value is not MISSING:
            return value
        mine = TaskFlight()
        slot = (mine.loop, key)
        while (flight := join(flights, slot, mine)) is not mine:
            if flight is None:
                return await function(*args, **kwargs)
            await flight.wait()
            value = results.load(key)
            if value is not MISSING:
                return value
        context = LED.set((*LED.get(), mine))
        try:
            value = await function(*args, **kwargs)
            results.save(key, value)
            return value
        finally:
            del flights[slot]
            mine.land()
            with suppress(ValueError):  # a coroutine that is collected unfinished ends in whatever context that is
                LED.reset(context)

    return wrapper


def canonical(value: Any) -> Any:
    """Return a value with every container as a list of its type's name and its items, those of sets and dicts sorted.

    No value that is not a container is a list, so different values stay different.
    """
    kind = type(value)
    if kind is tuple or kind is list:
        return [kind.__name__, *map(canonical, value)]
    if kind is set or kind is frozenset:
        return [kind.__name__, *sorted(map(canonical, value), key=codecs.OBJECTS.encode)]
    if kind is dict:
        items = ([canonical(key), canonical(item)] for key, item in value.items())
        return ["dict", *sorted(items, key=codecs.OBJECTS.encode)]
    return value


def owner_part(owner: Any) -> tuple[Any, ...]:
    """Return what a method's key has before the arguments: the object or class that it is bound to; none for None."""
    if owner is None:
        return ()
    if isinstance(owner, type):
        return (["class", f"{owner.__module__}.{owner.__qualname__}"],)
    return (["self", canonical(owner)],)


def owner_bytes(owner: Any, name: str) -> bytes:
    """Return the bytes of what a method is bound to; TypeError where its results cannot be told from another's."""
    try:
        return encode_canonical(owner_part(owner))
    except TypeError as failure:
        raise TypeError(
            f"{name} is a method of a {type(owner).__module__}.{type(owner).__qualname__}, which cannot be part of a "
            "key; pass key=, a function of the arguments that returns a key"
        ) from failure


def encode_canonical(value: Any) -> bytes:
    """Return the bytes of a value of plain objects, which do not depend on the process."""
    return codecs.OBJECTS.encode(canonical(value))


def default_key(function: Callable[..., Any], name: str, owner: Any, as_text: bool) -> Callable[..., str | bytes]:
    """Return the function from a call's arguments to its key: the name, a NUL, and the arguments with all defaults."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as failure:
        raise TypeError(
            f"{function!r} does not tell its parameters; pass key=, a function of the arguments that returns a key"
        ) from failure
    parameters = signature.parameters.values()
    defaults = tuple(item.default for item in parameters if item.default is not item.empty)
    positional = all(item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD) for item in parameters)
    most = len(parameters) if positional else -1  # what Signature.bind does for these takes as long as all the rest
    least = len(parameters) - len(defaults)

    def make_key(*args: Any, **kwargs: Any) -> str | bytes:
        if not kwargs and least <= len(args) <= most:
            args += defaults[len(args) - least :]
        else:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        try:
            named = [["=", word, canonical(value)] for word, value in sorted(kwargs.items())]
            arguments = codecs.OBJECTS.encode([*owner_part(owner), *map(canonical, args), *named])
        except TypeError as failure:
            raise unfit_argument(signature, args, kwargs, name, encode_canonical) from failure
        except RecursionError:
            if stack_is_deep():
                raise
            raise ValueError(f"an argument of {name} contains itself, or is nested too deeply for a key") from None
        key = name.encode() + b"\0" + arguments
        if len(key) > KEY_BYTES_MAX:
            key = name.encode() + b"\0#" + blake2b(arguments, digest_size=32).hexdigest().encode()
        return key.decode() if as_text else key

    return make_key


def check_function(function: Any) -> None:
    """Raise TypeError for what cannot be memoized."""
    if not callable(function):
        raise TypeError(
            f"memoize() decorates functions, not {type(function).__name__}; @classmethod and @property go above it"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function!r} is a generator function, and a generator cannot be stored; return a list")


def check_expire(expire: Any) -> None:
    """Raise for an `expire` that is no number of seconds."""
    if callable(expire):
        raise TypeError("memoize is used with parentheses: @store.memoize()")
    seconds = number_of(expire)
    if expire is not None and not (seconds is not None and 0 < seconds < EXPIRE_SECONDS_MAX):
        raise ValueError(
            f"expire is a number of seconds greater than 0 and below {EXPIRE_SECONDS_MAX:g}, a timedelta, or None for "
            f"results that stay, not {expire!r}"
        )


def memoize(
    store: ResultStore,
    expire: float | None = None,
    key: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    codec: Any = None,
    tag: str | bytes | int | None = None,
    sliding: bool = False,
) -> Callable[[Callable[P, R]], Memoized[P, R]]:
    """Return a decorator that keeps a function's results in a store; documented as Store.memoize in the stub."""
    check_expire(expire)
    if sliding and expire is None:
        raise ValueError("sliding=True begins a result's time anew with each use, and expire= says how long that is")
    if key is not None and name is not None:
        raise ValueError("name= is what the default key begins with, and key= replaces that key; leave one out")
    if key is None and store.key_codec not in ("bytes", "str"):
        raise ValueError(
            f"default keys are bytes or str, and the store's keys have the codec {store.key_codec!r}; "
            "pass key=, a function of the arguments that returns a key"
        )
    if codec is not None and store.value_codec != "bytes":
        raise ValueError(
            f"codec= is for stores of bytes; this store's own codec, {store.value_codec!r}, encodes its values"
        )
    if codec is None:
        codec = codecs.OBJECTS if store.value_codec == "bytes" else None
    else:
        codec = codecs.resolve(codec)
    results = Results(store, codec, expire, sliding, tag)

    def decorate(function: Callable[P, R]) -> Memoized[P, R]:
        check_function(function)
        make_key = key
        if make_key is None:
            begin = checked_name(function, name)
            owner = owner_of(function)
            bound = owner_bytes(owner, begin)
            make_key = default_key(function, begin, owner, store.key_codec != "bytes")
            take_name(store.memoized, begin, bound, function, name is not None, encode_canonical)

        def cache_key(*args: P.args, **kwargs: P.kwargs) -> Any:
            return make_key(*args, **kwargs)

        def forget(*args: P.args, **kwargs: P.kwargs) -> bool:
            return results.drop(make_key(*args, **kwargs))

        guard = guard_coroutine_function if inspect.iscoroutinefunction(function) else guard_function
        wrapper: Any = guard(function, make_key, results)
        wrapper.cache_key = cache_key
        wrapper.forget = forget
        return cast(Memoized[P, R], wrapper)

    return decorate
