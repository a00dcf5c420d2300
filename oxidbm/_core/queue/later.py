"""Putting an item that is to wait for a while first: the log says so right behind it, and the cursor passes it by.

Nobody has come to such an item, so there is no Delivery of it, only a note, like those that an earlier opening has left
(see deliveries). It is noted before anybody can take the item: both happen below the queue's lock.
"""

from oxidbm._core.queue.entries import NOTE, Note
from oxidbm._core.queue.exchange import Exchange


def put_later(exchange: Exchange, entry: bytes, seconds: float, deadline: float) -> bool:
    """As `Exchange.put`, of one item that is not handed out before so many seconds have passed."""
    exchange.log.life.check_writable()
    exchange.check_reserve([entry, bytes(NOTE.size)])
    if exchange.maxsize > 0:
        if exchange.attempt(exchange.putters, lambda: exchange.reserve(1), deadline) is None:
            return False
    else:
        with exchange.lock:
            exchange.reserve(1)
    appended = False
    try:
        while not appended:
            with exchange.lock:
                exchange.check_going()
                appended = append_noted(exchange, entry, exchange.clock.now() + seconds)
            if not appended:
                exchange.log.wait_for_room(entry)
    finally:
        if not appended:
            exchange.release(1)
    exchange.wake_takers(1)  # who waits has to know until when
    if exchange.log.log.due:
        exchange.log.step()
    if exchange.commits_puts:
        exchange.log.commit()
    return True


def append_noted(exchange: Exchange, entry: bytes, due: float) -> bool:
    """Append an item that is to wait until a time, by the queue's clock; False where there is no room now."""
    deliveries = exchange.deliveries
    clock = exchange.clock
    address = exchange.log.add_noted(entry, clock.system_ns(due))
    if address < 0:
        return False
    deliveries.own += 1
    deliveries.notes[address] = Note(clock.note_ns(due), 0)
    return True
