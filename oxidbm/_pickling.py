"""Pickling: a store that is sent to another process is opened there again, by its path, to read only.

What is sent is how to open it, and what a subclass has added; of an `__init__` of its own nothing is called, as with
all that is pickled. The other process sees the last commit that there is when it unpickles. All else that is open stays
in its process, and copies are refused: two objects would be one open directory.
"""

import errno
import time
from typing import Any, Final, NoReturn

from oxidbm._core.errors import MissingError

# What a store has of itself, where it has it in its __dict__: uncompiled.
OURS: Final = frozenset(
    {
        "handle",
        "owned",
        "holds",
        "life",
        "table",
        "coders",
        "typed",
        "typed_or_noted",
        "always",
        "pop_position",
        "memoized",
        "order",
    }
    | {"traversal", "traversed", "traversed_to", "traversal_stop", "shut"}
)
INSTEAD: Final = "or send the path, and open that with read_only=True"


def reduced(store: Any) -> tuple[Any, ...]:
    """Return what `__reduce__` returns for an open store; TypeError for one that no other process could open."""
    store.life.check_open()
    handle = store.handle
    if handle.directory is None:
        raise TypeError(
            "a store in memory cannot be pickled, since no other process can see it: give it a path, or send what is "
            "needed of it; copy() is a dict of its items"
        )
    if handle.options.device is not None:
        raise TypeError(
            "a store with a device= cannot be pickled: make the device, and open the store, where it is used"
        )
    options = reading_options(handle.options)
    for what, part in (
        ("its class", type(store)),
        *((f"{name}=", options[name]) for name in ("key", "value", "clock")),
    ):
        check(what, part)
    how = (type(store), handle.directory.absolute, handle.superblock.store_id, options)
    return (reopened, how, state_of(store), None, None, give_state)


def added_by(kind: type) -> list[type]:
    """Return the classes of a subclass's users: what a store has of itself says nothing of what they have added."""
    owners = []
    for owner in kind.__mro__:
        if owner.__module__ == "oxidbm":
            break
        owners.append(owner)
    return owners


def state_of(store: Any) -> Any:
    """Return what a subclass has added, as Python itself would: by its `__getstate__`, or fields and slots."""
    owners = added_by(type(store))
    if any("__getstate__" in vars(owner) for owner in owners):
        return store.__getstate__()
    state = {name: value for name, value in getattr(store, "__dict__", {}).items() if name not in OURS}
    for owner in owners:
        names = vars(owner).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            hidden = name.startswith("__") and not name.endswith("__")
            inside = f"_{owner.__name__.lstrip('_')}{name}" if hidden else name
            if inside not in ("__dict__", "__weakref__") and hasattr(store, inside):
                state[inside] = getattr(store, inside)
    return state or None


def give_state(store: Any, state: Any) -> None:
    """Give a store what `state_of` has returned, by the subclass's `__setstate__` where it has one."""
    if any("__setstate__" in vars(owner) for owner in added_by(type(store))):
        store.__setstate__(state)
        return
    for name, value in state.items():
        setattr(store, name, value)


def reading_options(options: Any) -> dict[str, Any]:
    """Return the arguments of `Store` that a reader of the same store needs to be as this one is."""
    return {
        "memory": options.memory,
        "key": options.coders.key.spec,
        "value": options.coders.value.spec,
        "ordered": options.ordered,
        "clock": None if options.clock is time.time else options.clock,
        "follow": options.follow or None,
        "checkpoint": options.checkpoint,
    }


def check(what: str, part: Any) -> None:
    """Raise TypeError, which says `what` it is, for a part of a store that cannot be pickled."""
    import pickle  # which takes some time

    try:
        pickle.dumps(part)
    except Exception as failure:  # a part's own function may raise anything
        raise TypeError(
            f"this store cannot be pickled, because {what} cannot ({failure}): define it in a module, where it is "
            f"found by its name, {INSTEAD}"
        ) from failure


def reopened(kind: Any, path: str, store_id: bytes, options: dict[str, Any]) -> Any:
    """Return the store that was pickled, opened to read only; MissingError where another one has its path."""
    store = kind.__new__(kind)
    ours = next(owner for owner in kind.__mro__ if owner.__module__ == "oxidbm")
    ours.__init__(store, path, read_only=True, **options)
    if store.handle.superblock.store_id != store_id:
        store.handle.handed = False
        store.close()
        raise MissingError(
            errno.ENOENT,
            "the store that was pickled is not there any more, but another one: it was renamed or replaced",
            path,
        )
    store.handle.handed = False  # who is given it as an argument does not close it, and is not told to
    return store


def refuse(part: Any) -> NoReturn:
    """Refuse to be pickled or copied: the `__reduce__` of what belongs to an open store or log."""
    name = type(part).__name__
    instead = "its token says which one it is" if name == "Checkpoint" else "make another one where it is needed"
    raise TypeError(
        f"{name} objects cannot be pickled or copied: each belongs to what is open in its process; {instead}"
    )
