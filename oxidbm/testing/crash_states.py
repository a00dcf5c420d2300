"""Every crash of a program that ran on a CrashDevice: the states that a power cut may have left, and their check.

A power cut may come after each event: each segment that was begun, each write, sync and note. Of what was not synced
then there may be nothing, everything, parts, or everything with the last write torn. A state has its moment's files of
the store's directory, and where those changed around the event, there is one state with those before it and one with
those after it.
"""

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from oxidbm.testing.crash_device import PAGE_BYTES, CrashDevice
from oxidbm.testing.platter import Event, Files, Platter, Segments

STATES_MAX: Final = 500
NOTHING: Final = "nothing is left"
EVERYTHING: Final = "everything is left"
PARTS: Final = "parts are left"
TORN: Final = "all but an end of the last write is left"
RESTS: Final = {"write": (PARTS, PARTS, TORN), "drop": (PARTS,)}  # after which event what is tried besides those two


class CrashState:
    """What one power cut leaves: a device, the directory's files, and the notes that were made before it."""

    def __init__(self, device: CrashDevice, files: Files | None, notes: list[Any], words: str) -> None:
        self.device = device
        self.files = files
        self.notes = notes
        self.words = words

    def __str__(self) -> str:
        return self.words

    def restore(self, path: str) -> CrashDevice:
        """Make the store's directory as the crash left it, at a path where nothing is yet, and return the device.

        `Store(path, device=state.restore(path))` opens what is left. The device records again, from there on: its own
        crash states are those of a second power cut. ValueError where there is something at the path.
        """
        self.device.restore(path, self.files)
        return self.device


class Candidate(NamedTuple):
    """One crash: after so many events, with which files, and what is left of what was not synced."""

    point: int
    files: Files | None
    rest: str


def candidates(events: list[Event], start: Segments, first: Files | None, last: Files | None) -> list[Candidate]:
    """Return the crashes that leave different states, in order."""
    found: list[Candidate] = []
    platter = Platter(start)
    before, version, durable, notes = first, 0, 0, 0
    seen: set[tuple[int, int, int]] = set()
    for point in range(len(events) + 1):
        after = events[point].files if point < len(events) else last
        unsynced = platter.unsynced()
        for files in [before] if before is after else [before, after]:
            for rest, which in [(NOTHING, durable), (EVERYTHING, version)] if unsynced else [(NOTHING, version)]:
                if (which, id(files), notes) not in seen:
                    seen.add((which, id(files), notes))
                    found.append(Candidate(point, files, rest))
            if unsynced and point > 0:
                found += [Candidate(point, files, rest) for rest in RESTS.get(events[point - 1].kind, ())]
        if point < len(events):
            platter.apply(events[point])
            before = after
            notes += events[point].kind == "note"
            version += events[point].kind in ("begin", "write", "drop", "cut")
            if events[point].kind == "sync":
                durable = version
            elif events[point].kind == "cut":
                durable = -version  # what was not synced before is still not
    return found


def crash_states(device: CrashDevice, limit: int = STATES_MAX, seed: int = 0) -> Iterator[CrashState]:
    """Yield the states that a power cut may have left, at any moment since the device was made.

    limit: at most so many; where there are more, so many are drawn, and the last one is among them.
    seed: of the draw, and of which parts are left. The same events and seed yield the same states.

    Costs a copy of the log each. What happens to the device meanwhile is not in them.
    """
    if limit < 1:
        raise ValueError(f"limit is a number of states, at least 1, not {limit}")
    with device.lock:
        events, last = device.events.copy(), device.look()
    chosen = candidates(events, device.start, device.first_files, last)
    total = len(chosen)
    if total > limit:
        drawn = sorted(random.Random(seed).sample(range(total - 1), limit - 1))
        chosen = [chosen[i] for i in [*drawn, total - 1]]
    platter = Platter(device.start)
    notes: list[Any] = []
    counts: Counter[str] = Counter()
    point = 0
    for number, candidate in enumerate(chosen):
        for event in events[point : candidate.point]:
            platter.apply(event)
            counts[event.kind] += 1
            if event.kind == "note":
                notes.append(event.note)
        point = candidate.point
        other = CrashDevice(device.page_bytes, segment_bytes=device.segment_bytes)
        other.hold(segments_left(platter, candidate.rest, random.Random(f"{seed} {number}")))
        words = (
            f"crash state {number} of {len(chosen)}, seed {seed}: the power is cut after {counts['write']} writes, "
            f"{counts['sync']} syncs and {counts['note']} notes; of what was not synced, {candidate.rest}"
        )
        yield CrashState(other, candidate.files, notes.copy(), words)


def segments_left(platter: Platter, rest: str, chance: random.Random) -> Segments:
    """Return what a power cut leaves of a log."""
    if rest == NOTHING:
        return platter.nothing()
    if rest == EVERYTHING:
        return platter.everything()
    return platter.torn(chance) if rest == TORN else platter.parts(chance)


def check_crashes(
    program: Callable[[str, CrashDevice], object],
    verify: Callable[[str, CrashDevice, list[Any]], object],
    *,
    limit: int = STATES_MAX,
    seed: int = 0,
    page_bytes: int = PAGE_BYTES,
) -> int:
    """Run a program once, and have verified what a power cut at any moment would have left of its store.

    program: called as program(path, device). It opens stores as oxidbm.Store(path, device=device, ...), one after the
        other, and says by device.note(...) what it has promised to anybody, or was about to do.
    verify: called as verify(path, device, notes) for each state. It opens the store as the program does, and raises,
        by assert say, where that breaks a promise: notes are those that were made before the power was cut.
    limit, seed: as of `crash_states`.
    page_bytes: the page_size= that the program gives its stores; without one, leave it out.

    Returns how many states were verified. What verify raises gets a note that says which state it was, and where its
    power was cut. The directories are temporary ones.
    """
    count = 0
    with tempfile.TemporaryDirectory(prefix="oxidbm-crashes-") as directory:
        path = os.path.join(directory, "store")
        device = CrashDevice(page_bytes, path=path)
        program(path, device)
        for state in crash_states(device, limit, seed):
            left = os.path.join(directory, "left", "store")
            try:
                verify(left, state.restore(left), state.notes)
            except BaseException as failure:
                failure.add_note(str(state))
                raise
            shutil.rmtree(os.path.dirname(left), ignore_errors=True)
            count += 1
    return count
