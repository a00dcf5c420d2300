"""The timed loops, generated around one statement of an engine's own syntax.

A user writes `store[key]`, so the loop holds exactly that, with no call of the harness between two operations. The
names a statement may use: `m` the engine's object, `s` its second object (a session, a batch class), `k` key, `v`
value, `f` the rmw function, `keys` and `pairs` the whole batch, `islice` to stop a range early.
"""

from __future__ import annotations

import functools
import itertools
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

Key = bytes | str | int
Value = bytes | str | int
Loop = Callable[["LoopInput"], int]

SHAPES = {
    # Reads, and writes of one value: the cheapest loop there is.
    "keys": """
        for _ in repeats:
            for k in keys:
                {statement}
    """,
    # Writes of a value of each key's own.
    "pairs": """
        for k, v in zip(keys, values):
            {statement}
    """,
    # Reads and writes mixed in an order drawn beforehand.
    "mixed": """
        for k, v, write in zip(keys, values, writes):
            if write:
                {statement}
            else:
                {other}
    """,
    # One statement over everything: scans and batches.
    "whole": """
        for _ in repeats:
            {statement}
    """,
    # Every operation timed on its own; the two clock calls are part of the figure.
    "each": """
        for k, v in zip(keys, values):
            began = clock()
            {statement}
            add(clock() - began)
    """,
}
EMPTY_SHAPES = ("keys", "pairs", "mixed", "each")


@dataclass(slots=True)
class LoopInput:
    """What one run of a loop works on."""

    m: Any = None
    s: Any = None
    f: Callable[..., Value] | None = None
    keys: Sequence[Key] = ()
    values: Sequence[Value] = ()
    writes: Sequence[bool] = ()
    pairs: Sequence[tuple[Key, Value]] = ()
    repeats: int = 1
    latencies: list[int] = field(default_factory=list)


@functools.cache
def build(shape: str, statement: str, other: str = "pass", owner: str = "") -> Loop:
    """Compile the loop of `shape` around `statement`; calling it gives the nanoseconds it took.

    Each `owner` gets code of its own: the interpreter adapts code to the types it has seen, and one engine's loop must
    not be adapted to another's types.
    """
    body = _fill(textwrap.dedent(SHAPES[shape]).strip("\n"), {"{statement}": statement, "{other}": other})
    source = "\n".join(
        [
            "def loop(given):",
            "    m, s, f, keys, values = given.m, given.s, given.f, given.keys, given.values",
            "    writes, pairs, repeats, add = given.writes, given.pairs, range(given.repeats), given.latencies.append",
            "    v = values[0] if values else b''",
            "    start = clock()",
            textwrap.indent(body, "    "),
            "    return clock() - start",
        ]
    )
    namespace: dict[str, Any] = {"clock": perf_counter_ns, "islice": itertools.islice}
    exec(compile(source, f"<{shape} loop of {statement!r}>", "exec"), namespace)
    loop: Loop = namespace["loop"]
    return loop


def _fill(body: str, statements: dict[str, str]) -> str:
    """Put each statement, which may have several lines, at the depth of its mark."""
    lines = []
    for line in body.splitlines():
        mark = line.strip()
        indent = line[: len(line) - len(line.lstrip())]
        lines.append(textwrap.indent(statements.get(mark, mark), indent))
    return "\n".join(lines)


def empty_loop_figures(operations: int = 200_000, rounds: int = 5) -> dict[str, float]:
    """Nanoseconds an iteration of each shape costs around `pass`: the best of `rounds`."""
    keys = [b"%016x" % n for n in range(1000)] * max(operations // 1000, 1)
    values = [b"value"] * len(keys)
    writes = [n % 2 == 0 for n in range(len(keys))]
    figures = {}
    for shape in EMPTY_SHAPES:
        loop = build(shape, "pass")
        given = [LoopInput(keys=keys, values=values, writes=writes) for _ in range(rounds)]
        figures[shape] = min(loop(one) for one in given) / len(keys)
    return figures
