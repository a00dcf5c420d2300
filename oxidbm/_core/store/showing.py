"""What a store is to whoever looks at it: words for `repr()`, which need no read, and what notebooks ask for."""

from typing import Any

from oxidbm._core.life import Life, state_in_words
from oxidbm._core.store.handle import Handle


def shown_state(handle: Handle, ordered: bool, life: Life) -> str:
    """Return in words how many keys a store has, of which types, and what can be done with it.

    life: the store's own, which has ended where it was closed and others go on with the handle.
    """
    words: list[str] = []
    if life.alive():
        words.append(shown_keys(int(handle.table.count), int(handle.table.pending.count())))
    key = handle.key_codec()
    value = handle.value_codec()
    if key != "bytes" or value != "bytes":
        words.append(f"{key} to {value}")
    if ordered:
        words.append("ordered")
    words.append(state_in_words(life))
    return ", ".join(words)


def shown_keys(count: int, unverified: int) -> str:
    """Return how many keys there are; at most, where it takes a read to know what some records replaced."""
    most = count + unverified
    return f"{'at most ' if unverified else ''}{most:,} key{'' if most == 1 else 's'}"


def shown_table(store: Any) -> str:
    """Return a store as HTML."""
    from oxidbm import _prompt

    return _prompt.table(store)


def shown_completions(store: Any) -> list[Any]:
    """Return keys that a prompt proposes."""
    from oxidbm import _prompt

    return _prompt.keys(store)
