"""What a message's holder says of it, in a block and outside of one, and what the block's end says then."""

import asyncio
from collections.abc import Callable

import pytest

from oxidbm import ClosedError, Queue
from oxidbm.queue import Message
from tests.facade.queues import Clock, drain


def test_a_block_whose_message_was_given_back_does_nothing_at_its_end() -> None:
    with Queue(codec=int) as queue:
        queue.put_many([1, 2])
        message = queue.take()
        with message as number:
            assert message.nack()
            assert number == 1
        assert (len(queue), queue.in_flight) == (2, 0)
        again = queue.take()
        assert (again.item, again.attempts) == (1, 2)
        with pytest.raises(AttributeError, match="fails"), again:
            again.nack(3600).fails()  # type: ignore[attr-defined]
        assert (len(queue), queue.in_flight, queue.stats()["delayed"]) == (2, 0, 1)


def test_a_block_whose_message_was_acknowledged_does_nothing_at_its_end() -> None:
    queue = Queue(codec=int)
    queue.put(1)
    message = queue.take()
    with message:
        assert message.ack()
        queue.close()  # which the end would be told of, were there something for it to say
    queue = Queue(codec=int)
    queue.put(1)
    with pytest.raises(ClosedError), queue.take():
        queue.close()


def test_in_a_task() -> None:
    async def run() -> None:
        async with Queue(codec=int) as queue:
            await queue.aput(1)
            message = await queue.atake()
            async with message:
                assert message.nack()
            assert (len(queue), queue.in_flight) == (1, 0)
            async with await queue.atake() as number:
                assert number == 1
            assert await queue.ajoin(timeout=0)

    asyncio.run(run())


@pytest.mark.parametrize("delay", [0, 60])
def test_what_was_given_back_cannot_be_acknowledged_by_who_did_so(delay: float) -> None:
    clock = Clock()
    with Queue(codec=int, clock=clock) as queue:
        queue.put(1)
        first = queue.take()
        assert first.nack(delay)
        assert not first.ack()
        assert (len(queue), queue.in_flight) == (1, 0)
        clock.now += 100
        second = queue.take()
        assert (second.item, second.attempts) == (1, 2)
        assert not first.ack()
        assert not first.nack()
        assert queue.in_flight == 1
        assert second.ack()
        assert not first.ack()
        assert queue.join(timeout=0)


def test_what_came_again_by_itself_can_be_acknowledged() -> None:
    clock = Clock()
    with Queue(codec=int, redeliver_after=5, clock=clock) as queue:
        queue.put_many([1, 2])
        first, second = queue.take(), queue.take()
        clock.now += 10
        again = queue.take()
        assert again.item == 1
        assert not first.nack()  # too late
        assert first.ack()
        assert not again.ack()
        with second:
            assert queue.take().item == 2
            assert not second.nack()
        assert queue.in_flight == 1  # the block does not say that it is done, as its holder meant the contrary
        assert second.ack()
        assert queue.join(timeout=0)


class Interrupting:
    """A codec of int that is interrupted while it decodes, when it is told to be."""

    name = "interrupting"

    def __init__(self) -> None:
        self.failure: BaseException | None = None

    def encode(self, value: int) -> bytes:
        """Return the bytes of an int."""
        return b"%d" % value

    def decode(self, data: bytes) -> int:
        """Return the int, or raise what it is to raise."""
        if self.failure is not None:
            raise self.failure
        return int(data)


def enter(queue: Queue[int]) -> None:
    """Begin a block, and leave it."""
    with queue.take():
        pass


CALLS: dict[str, Callable[[Queue[int]], object]] = {
    "get": lambda queue: queue.get(),
    "get_nowait": lambda queue: queue.get_nowait(),
    "aget": lambda queue: asyncio.run(queue.aget()),
    "with": enter,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("not to be read")])
def test_a_call_that_raises_has_got_nothing(name: str, failure: BaseException) -> None:
    codec = Interrupting()
    with Queue(codec=codec) as queue:
        queue.put_many([1, 2])
        codec.failure = failure
        with pytest.raises(type(failure)):
            CALLS[name](queue)
        codec.failure = None
        assert (len(queue), queue.in_flight) == (2, 0)
        with pytest.raises(ValueError, match="more often than get"):
            queue.task_done()
        assert drain(queue) == [1, 2]


def test_who_has_got_nothing_has_nothing_to_say() -> None:
    with Queue(codec=int) as queue:
        for call in (queue.ack, queue.nack, queue.task_done):
            with pytest.raises(ValueError, match="more often than get"):
                call()
        queue.put_many([1, 2])
        assert [queue.get(), queue.get()] == [1, 2]
        with pytest.raises(TypeError, match="delay is"):
            queue.nack("soon")  # type: ignore[arg-type]
        assert queue.nack()
        assert queue.ack()
        with pytest.raises(ValueError, match="more often than get"):
            queue.ack()
        assert (queue.get(), queue.in_flight) == (1, 1)


def test_a_message_says_what_it_is() -> None:
    with Queue(codec=str) as queue:
        queue.put("7")
        message = queue.take()
        assert isinstance(message, Message)
        assert (message.data, message.attempts, message.item, message.data) == (b"7", 1, "7", None)
        assert repr(message) == f"<oxidbm.queue.Message {message.id}, attempt 1>"
    with pytest.raises(ClosedError):
        message.ack()
