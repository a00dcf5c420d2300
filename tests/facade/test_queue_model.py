"""oxidbm.Queue beside a model: lists of what waits and what is out, with crashes and reopenings in between."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from oxidbm import Queue
from oxidbm.queue import Empty, Full, Message
from tests.inside import abandon_queue
from tests.support import scaled

SIZES = st.sampled_from([0, 10, 500, 3000])
REDELIVER = 50.0
ROOM = 40


class QueueMachine(RuleBasedStateMachine):
    """A queue of items that are numbered, so that each is told from all others."""

    out = Bundle("out")

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="oxidbm-queue-"))
        self.now = 0.0
        self.number = 0
        self.rank: dict[bytes, int] = {}  # of each item in the order of the log
        self.never: list[bytes] = []  # that were never out, in order
        self.again: list[bytes] = []  # that are due again
        self.delayed: dict[bytes, float] = {}
        self.flying: dict[bytes, float] = {}
        self.done: set[bytes] = set()
        self.attempts: dict[bytes, int] = {}
        # what was put, what is done, what is delayed, and how often each was handed out
        self.committed: tuple[set[bytes], set[bytes], set[bytes], dict[bytes, int]] = (set(), set(), set(), {})
        self.open()

    def open(self) -> None:
        self.queue: Queue[bytes] = Queue(
            self.directory / "q", maxsize=ROOM, redeliver_after=REDELIVER, durability="manual", page_size="4KiB",
            memory="1MiB", clock=lambda: self.now,
        )  # fmt: skip

    def all_put(self) -> set[bytes]:
        return {*self.never, *self.again, *self.delayed, *self.flying, *self.done}

    def waiting(self) -> int:
        return len(self.never) + len(self.again) + len(self.delayed)

    def expire(self) -> None:
        for due in (self.delayed, self.flying):
            for item in [item for item, when in due.items() if when <= self.now]:
                del due[item]
                self.again.append(item)
        self.again.sort(key=self.rank.__getitem__)

    @rule(size=SIZES, count=st.integers(1, 8))
    def put(self, size: int, count: int) -> None:
        items = [b"%08d" % (self.number + number) + b"x" * size for number in range(count)]
        self.number += count
        try:
            self.queue.put_many(items, block=False)
        except Full:
            assert self.waiting() + count > ROOM
        else:
            assert self.waiting() + count <= ROOM
            self.never += items
            self.rank.update((item, int(item[:8])) for item in items)

    @rule(target=out)
    def take(self) -> Any:
        self.expire()
        try:
            message = self.queue.take(block=False)
        except Empty:
            assert not self.again
            assert not self.never
            return None
        expected = self.again.pop(0) if self.again else self.never.pop(0)
        assert message.item == expected
        self.flying[expected] = self.now + REDELIVER
        self.attempts[expected] = self.attempts.get(expected, 0) + 1
        assert message.attempts == self.attempts[expected]
        return message

    @rule(message=consumes(out), seconds=st.sampled_from([1, 60, 200]))
    def extend(self, message: Message[bytes] | None, seconds: int) -> None:
        if message is None or message.queue is not self.queue:
            return
        newest = message.item in self.flying and message.attempts == message.delivery.attempts
        assert message.extend(seconds) == newest
        if newest:
            self.flying[message.item] = self.now + seconds

    @rule(message=consumes(out))
    def ack(self, message: Message[bytes] | None) -> None:
        if message is None or message.queue is not self.queue:
            return
        item = message.item
        assert message.ack() == (item not in self.done)
        self.done.add(item)
        for held in (self.flying, self.delayed):
            held.pop(item, None)
        if item in self.again:
            self.again.remove(item)

    @rule(message=consumes(out), delay=st.sampled_from([0, 0, 5, 100]))
    def nack(self, message: Message[bytes] | None, delay: int) -> None:
        if message is None or message.queue is not self.queue:
            return
        item = message.item
        newest = item in self.flying and message.attempts == message.delivery.attempts
        assert message.nack(delay) == newest
        if newest:
            del self.flying[item]
            if delay:
                self.delayed[item] = self.now + delay
            else:
                self.again.append(item)
                self.again.sort(key=self.rank.__getitem__)

    @rule(seconds=st.sampled_from([1, 10, 60]))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.expire()
        self.queue.exchange.deliveries.expire(self.now)

    @rule()
    def commit(self) -> None:
        self.queue.commit()
        self.committed = (self.all_put(), set(self.done), set(self.delayed), dict(self.attempts))

    @rule(crash=st.booleans())
    def reopen(self, crash: bool) -> None:
        if crash:
            abandon_queue(self.queue)
            put, done, delayed, attempts = self.committed
            self.done = set(done)
        else:
            self.queue.close()
            put, delayed, attempts = self.all_put(), set(self.delayed), dict(self.attempts)
        self.open()
        assert self.queue.stats()["delayed"] <= len(delayed - self.done)  # the system's time goes on
        seen = {message.item: message for message in self.queue.messages(timeout=0)}
        assert put - self.done - delayed <= set(seen) <= put - self.done
        self.now += 1000
        for message in self.queue.messages(timeout=0):
            seen.setdefault(message.item, message)
        assert set(seen) == put - self.done
        assert all(message.attempts > attempts.get(item, 0) for item, message in seen.items())
        order = sorted(seen, key=lambda item: seen[item].delivery.address)  # moved ones stand elsewhere
        self.queue.close()
        self.open()
        self.attempts = {item: message.delivery.attempts for item, message in seen.items()}
        for held in (self.flying, self.delayed, self.again):
            held.clear()
        self.never = order
        ranks = sorted(self.rank[item] for item in order)  # below that of whatever is put from now on
        self.rank.update(zip(order, ranks, strict=True))
        self.committed = (put, set(self.done), set(), dict(self.attempts))

    @invariant()
    def counts(self) -> None:
        if hasattr(self, "queue"):
            assert len(self.queue) == self.waiting()
            assert self.queue.in_flight == len(self.flying)

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.queue.close()
            shutil.rmtree(self.directory)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=scaled(20, least=4), stateful_step_count=40, deadline=None)
pytestmark = pytest.mark.filterwarnings("error")
