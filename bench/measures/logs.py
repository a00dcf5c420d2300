"""log: appending to a log, having entries back, making them durable, and opening it, beside files and databases."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

import oxidbm
from bench.loops import LoopInput, build
from bench.measures.base import Figure, Measure, Outcome, Settings, median
from bench.measures.durable import FileWriter, LmdbWriter, SqliteWriter, Writer, rate_of, time_of_one
from bench.measures.log_peers import PEERS, LogPeer, Peer, key_list
from bench.rounds import garbage_collector_off

ENTRY_SIZE = 100
SLOW = ("persist-queue",)  # which do a hundredth of the appends
BUFFER_BYTES = 1 << 20
OPENINGS = 5
COMMIT_BYTES = 8 << 20
LEFT_BEHIND = """
import os, sys, oxidbm
log = oxidbm.Log(sys.argv[1])
for _ in range(2):
    log.append_many([bytes(100)] * 1000)
    log.commit()
log.append_many([bytes(100)] * 1000)
os._exit(0)
"""
Times = dict[tuple[str, str], list[float]]


class LogWriter(Writer):
    """oxidbm.Log, which is open with durability="always"."""

    name = LogPeer.name
    note = 'oxidbm.Log is Log(path, durability="always")'

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.log = oxidbm.Log(directory / "log", durability="always")

    def enter(self) -> Any:
        """Nothing: threads share a log."""

    def write(self, own: Any, key: bytes, value: bytes) -> None:
        """Append."""
        self.log.append(value)

    def close(self) -> None:
        """Close it."""
        self.log.close()


WRITERS: tuple[type[Writer], ...] = (LogWriter, FileWriter, SqliteWriter, LmdbWriter)


class Logs(Measure):
    """oxidbm.Log beside its peers."""

    name = "log"
    summary = "entries of 100 bytes: append, scan, read, durable appends, a sustained rate, opening a large log"

    def run(self, settings: Settings) -> Outcome:
        """Alternating rounds of each part."""
        outcome = Outcome()
        outcome.figures += self.entries(settings)
        outcome.figures += self.sustained(settings)
        outcome.figures += self.durable(settings)
        outcome.figures += self.openings(settings)
        return outcome

    def entries(self, settings: Settings) -> list[Figure]:
        """Appending, scanning and reading, as each peer does that."""
        peers = [peer for peer in PEERS if peer.available()]
        times: Times = {}
        for number in range(settings.rounds):
            for kind in peers:
                settings.report(f"{self.name}: round {number + 1} of {settings.rounds}, {kind.name}")
                count = settings.count(300_000)
                take_times(settings, kind, max(count // 100, 1) if kind.name in SLOW else count, times)
        note = "; ".join(peer.note for peer in peers)
        figures = [
            self.figure(f"{name}, {ENTRY_SIZE} B", subject, median(found), "ns", f"ns an entry; {note}")
            for (name, subject), found in times.items()
        ]
        ratios = [
            one / many for one, many in zip(times["append", LogPeer.name], times["many", LogPeer.name], strict=True)
        ]
        return [*figures, self.figure("rate of many over append's", LogPeer.name, median(ratios), "x")]

    def sustained(self, settings: Settings) -> list[Figure]:
        """More than memory holds, all of it given to the system, beside large writes of as many bytes."""
        count = settings.count(4_000_000, 20_000)
        rates, shares, moved = [], [], []
        for number in range(settings.rounds):
            settings.report(f"{self.name}: sustained, round {number + 1} of {settings.rounds}")
            written, seconds = in_directory(settings, lambda top: append_until_flushed(top, count))
            raw = written / in_directory(settings, lambda top, size=written: write_large(top, size))  # type: ignore[misc]
            rates.append(count * (written / log_bytes(count)) / seconds)
            moved.append(raw / 1e6)
            shares.append(written / seconds / raw)
        note = (
            f"sustained: {count:,} entries in lists of 1,000, until what does not stay in memory is with the system, "
            f"not synced; os.write writes as many bytes to a file in pieces of {BUFFER_BYTES >> 20} MiB"
        )
        name = f"sustained, {ENTRY_SIZE} B"
        return [
            self.figure(name, LogPeer.name, median(rates), "entries/s", note),
            self.figure(name, "os.write", median(moved), "MB/s", note),
            self.figure(f"{name}, bytes over os.write's", LogPeer.name, median(shares), "x", note),
        ]

    def durable(self, settings: Settings) -> list[Figure]:
        """One durable append, and those of many threads."""
        writers = [writer for writer in WRITERS if writer.available()]
        threads = 2 if settings.smoke else 64
        alone: dict[str, list[float]] = {writer.name: [] for writer in writers}
        together: dict[str, list[float]] = {writer.name: [] for writer in writers}
        for number in range(settings.rounds):
            for writer in writers:
                settings.report(f"{self.name}: durable, round {number + 1} of {settings.rounds}, {writer.name}")
                alone[writer.name].append(time_of_one(settings, writer, ENTRY_SIZE))
                together[writer.name].append(rate_of(settings, writer, ENTRY_SIZE, threads))
        note = "a durable append: " + "; ".join(writer.note for writer in writers)
        figures = []
        for writer in writers:
            once, rate = median(alone[writer.name]), median(together[writer.name])
            ratios = [one * many / 1e6 for one, many in zip(alone[writer.name], together[writer.name], strict=True)]
            figures += [
                self.figure(f"a durable append, {ENTRY_SIZE} B", writer.name, once, "us", note),
                self.figure(f"durable appends of {threads} threads", writer.name, rate, "appends/s", note),
                self.figure(f"{threads} threads over one", writer.name, median(ratios), "x", note),
            ]
        return figures

    def openings(self, settings: Settings) -> list[Figure]:
        """Opening large logs, closed or killed, and the rate at which an opening verifies entries."""
        figures = []
        for size in (2_000_000, 4_000_000) if settings.smoke else (1_000_000_000, 10_000_000_000):
            settings.report(f"{self.name}: opening {size:,} bytes")
            label = f"{size // 10**9} GB" if size >= 10**9 else f"{size // 10**6} MB"
            closed, killed = in_directory(settings, lambda top, size=size: open_large(top, size))  # type: ignore[misc]
            figures += [
                self.figure(f"opening {label}, closed", LogPeer.name, closed, "ms"),
                self.figure(f"opening {label}, killed", LogPeer.name, killed, "ms"),
            ]
        count = settings.count(1_000_000, 2000)
        rates = [in_directory(settings, lambda top: verify_by_opening(top, count)) for _ in range(settings.rounds)]
        note = (
            "killed: with a durable commit of 1,000 entries behind the last one known durable, and 1,000 entries of no "
            "commit behind that; verified: all entries of a first commit after a kill, read from the system and not "
            "made objects"
        )
        return [*figures, self.figure("verified by an opening", LogPeer.name, median(rates), "entries/s", note)]


def in_directory(settings: Settings, work: Callable[[Path], Any]) -> Any:
    """Do something in a directory of its own, which goes afterwards."""
    top = Path(tempfile.mkdtemp(prefix="bench-", dir=settings.directory))
    try:
        with garbage_collector_off():
            return work(top)
    finally:
        shutil.rmtree(top)


def take_times(settings: Settings, kind: type[Peer], count: int, times: Times) -> None:
    """One round of one peer: nanoseconds an entry of all that it can do."""
    entries = [b"%0*d" % (ENTRY_SIZE, number) for number in range(count)]
    keys = key_list(count)

    def note(name: str, nanoseconds: int) -> None:
        times.setdefault((name, kind.name), []).append(nanoseconds / count)

    def appending(top: Path) -> None:
        peer = kind(top)
        peer.begin()
        took = peer.time("pairs", peer.append, keys=keys, values=entries)
        note("append", took - build("pairs", "pass")(LoopInput(keys=keys, values=entries)))
        peer.end()
        if peer.scan is not None:
            note("scan", peer.time("whole", peer.scan))
        if peer.read is not None:
            places = peer.places(count, ENTRY_SIZE)
            random.Random(0).shuffle(places)
            took = peer.time("keys", peer.read, keys=places, values=entries)
            note("read at random", took - build("keys", "pass")(LoopInput(keys=places)))
        peer.close()

    def many(top: Path) -> None:
        peer = kind(top)
        peer.begin()
        if peer.append_many is not None:
            note("many", peer.time("whole", peer.append_many, keys=keys, values=entries))
        peer.end()
        peer.close()

    in_directory(settings, appending)
    if kind.append_many is not None:
        in_directory(settings, many)
    if kind is LogPeer:
        in_directory(settings, lambda top: cold_times(top, entries, note))


def cold_times(top: Path, entries: list[bytes], note: Callable[[str, int], None]) -> None:
    """Scans and reads of a log of whose entries none is in memory: the system has them."""
    with oxidbm.Log(top / "log") as log:
        log.append_many(entries)
    with oxidbm.Log(top / "log", read_only=True) as log:
        note("scan, not in memory", build("whole", "for e in m: pass")(LoopInput(m=log)))
        places = [address for address, _ in log]
        random.Random(0).shuffle(places)
        took = build("keys", "m.read(k)", owner="cold")(LoopInput(m=log, keys=places))
        note("read at random, not in memory", took - build("keys", "pass")(LoopInput(keys=places)))


def log_bytes(count: int) -> int:
    """The bytes that so many entries take in a log."""
    return count * (24 + (ENTRY_SIZE + 7) // 8 * 8)


def append_until_flushed(top: Path, count: int) -> tuple[int, float]:
    """Append so many entries; how many bytes of them were written, and the seconds until then."""
    with oxidbm.Log(top / "log", memory="64MiB" if count > 1_000_000 else "1MiB") as log:
        part = [b"v" * ENTRY_SIZE] * 1000
        began = perf_counter()
        for _ in range(count // len(part)):
            log.append_many(part)
        seconds = perf_counter() - began
        written = log.stats()["flushed"] - log.begin
        log.close(commit=False)
    return written, seconds


def write_large(top: Path, size: int) -> float:
    """Write as many bytes to a file in large pieces; the seconds."""
    piece = os.urandom(BUFFER_BYTES)
    descriptor = os.open(top / "file", os.O_WRONLY | os.O_CREAT)
    try:
        began = perf_counter()
        done = 0
        while done < size:
            done += os.write(descriptor, piece)
        return (perf_counter() - began) * size / done
    finally:
        os.close(descriptor)


def open_large(top: Path, size: int) -> tuple[float, float]:
    """Make a log of so many bytes; the milliseconds of opening it, closed cleanly and killed."""
    path = top / "log"
    part = [b"v" * ENTRY_SIZE] * 1000
    with oxidbm.Log(path, commit_bytes=COMMIT_BYTES) as log:
        while log.tail < size:
            log.append_many(part)
    closed, killed = [], []
    for _ in range(OPENINGS):
        closed.append(time_to_open(path))
        leave_behind(path)
        killed.append(time_to_open(path))
    return median(closed), median(killed)


def leave_behind(path: Path) -> None:
    """Have another process commit to a log twice, append to it, and end without closing it."""
    subprocess.run([sys.executable, "-c", LEFT_BEHIND, str(path)], check=True, timeout=600)


def time_to_open(path: Path) -> float:
    """Open and close a log; the milliseconds of the opening."""
    began = perf_counter_ns()
    log = oxidbm.Log(path)
    took = perf_counter_ns() - began
    log.close()
    return took / 1e6


def verify_by_opening(top: Path, count: int) -> float:
    """Have another process make one commit of so many entries; the entries a second that the next opening verifies."""
    path = top / "log"
    program = "import os, sys, oxidbm; log = oxidbm.Log(sys.argv[1])\n"
    program += f"log.append_many([bytes({ENTRY_SIZE})] * {count}); log.commit(); os._exit(0)"
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=600)
    return count / time_to_open(path) * 1e3
