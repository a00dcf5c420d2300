"""A store in a notebook and at a prompt: a table of figures, and the keys that completion proposes.

Imported when a notebook, or IPython, asks for it.
"""

import html
import time
from typing import Any

KEYS_MAX = 1000
SECONDS_MAX = 0.1
SIZES = {
    "log_bytes": "log",
    "dead_bytes": "of that dead",
    "file_bytes": "files",
    "memory_bytes": "memory in use",
    "memory_budget": "memory budget",
}
OTHERS = {
    "durability": "durability",
    "checkpoints": "checkpoints",
    "sessions": "sessions",
    "evicted_keys": "keys evicted",
    "poisoned": "failed",
    "maintenance_failure": "trouble",
}


def size(count: int) -> str:
    """Return a number of bytes for people."""
    amount = float(count)
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        del units[0]
    return f"{count} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def figures(stats: dict[str, Any]) -> dict[str, str]:
    """Return the figures of `stats()` that say most, in words; those that are nothing are left out."""
    sizes = {word: size(stats[name]) for name, word in SIZES.items()}
    return sizes | {word: str(stats[name]) for name, word in OTHERS.items() if stats[name]}


def table(store: Any) -> str:
    """Return what a notebook shows of a store, as HTML; `repr()` alone where it cannot be asked for figures."""
    heading = f"<div><code>{html.escape(repr(store))}</code></div>"
    if store.closed:
        return heading
    rows = [
        f'<tr><th style="text-align: left">{html.escape(word)}</th>'
        f'<td style="text-align: right">{html.escape(figure)}</td></tr>'
        for word, figure in figures(store.stats()).items()
    ]
    return f"{heading}<table>{''.join(rows)}</table>"


def keys(store: Any) -> list[Any]:
    """Return keys of a store, those that were written last, as many as there is time to find.

    Page by page from the end of the log, so that a store of any size answers at once.
    """
    found: dict[Any, None] = {}
    stop = time.monotonic() + SECONDS_MAX
    try:
        stats = store.stats()
        page = stats["page_bytes"]
        at = stats["tail"] // page * page
        while at + page > stats["begin"] and at >= 0 and len(found) < KEYS_MAX and time.monotonic() < stop:
            for record in store.scan(at, at + page):
                found[store.coders.from_key(record.key)] = None
                if len(found) >= KEYS_MAX or time.monotonic() >= stop:
                    break
            at -= page
    except Exception:  # completion is no place for an error, nor to say that the store is closed
        return list(found)
    return list(found)
