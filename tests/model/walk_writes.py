"""Steps of a walk that write: one key or many, blindly or after a look, through sessions, batches and the store."""

from tests.model.walk_base import EXPIRING, WalkBase
from tests.unit.helpers import push_to_disk

NAMES = ("north", "south", "worker")


class WriteSteps(WalkBase):
    """With steps that write."""

    def held_key(self) -> bytes:
        """Return a key that is there, most often one with a plain name."""
        return self.chance.choice(list(self.state.items)) if self.state.items else self.key()

    def put(self) -> None:
        for _ in range(self.chance.randrange(1, 5)):
            key, value = self.key(), self.value()
            self.store[key] = value
            self.changed(key, value)
            self.note()

    def put_same_size(self) -> None:
        key = self.held_key()
        old = self.state.items.get(key)
        if old is not None:
            value = b"%d" % self.chance.randrange(10) * len(old)
            self.store[key] = value
            self.changed(key, value)

    def delete(self) -> None:
        key = self.held_key()
        if key in self.state.items:
            del self.store[key]
            self.changed(key, None)

    def add_or_look(self) -> None:
        key, value = self.key(), self.value()
        assert self.store.setdefault(key, value) == self.state.items.get(key, value)
        if key not in self.state.items:
            self.changed(key, value)

    def take(self) -> None:
        key = self.chance.choice([self.key(), self.held_key()])
        assert self.store.pop(key, None) == self.state.items.get(key)
        self.changed(key, None)

    def take_oldest(self) -> None:
        if self.state.items:
            key, value = self.store.popitem()
            assert self.state.items[key] == value
            self.changed(key, None)

    def look(self) -> None:
        keys = [self.key() for _ in range(self.chance.randrange(1, 12))]
        assert self.store.get_many(keys) == [self.state.items.get(key) for key in keys]
        assert (keys[0] in self.store) == (keys[0] in self.state.items)

    def look_again(self) -> None:
        """Read so often that there are copies of what is on disk, and read those."""
        keys = [self.key() for _ in range(self.chance.randrange(1, 40))]
        for _ in range(4):
            assert [self.store.get(key) for key in keys] == [self.state.items.get(key) for key in keys]

    def count_up(self) -> None:
        number = int(self.state.items.get(b"counter", b"0")) + self.chance.choice([1, 10**9])
        assert self.store.incr(b"counter", number - int(self.state.items.get(b"counter", b"0"))) == number
        self.changed(b"counter", b"%d" % number)

    def put_many(self) -> None:
        pairs = [(self.key(), self.value()) for _ in range(self.chance.randrange(1, 30))]
        if self.chance.random() < 0.5:
            self.store.update(pairs)
        else:
            pairs = list(dict(pairs).items())
            self.store.set_many(dict(pairs))
        for key, value in pairs:
            self.changed(key, value)

    def delete_some(self) -> None:
        keys = {self.key() for _ in range(self.chance.randrange(1, 15))}
        assert self.store.delete_many(keys) == len(keys & self.state.items.keys())
        for key in keys:
            self.changed(key, None)

    def apply_batch(self) -> None:
        changes = {self.key(): self.chance.choice([None, b"", b"batch %d" % self.written]) for _ in range(6)}
        with self.store.batch() as batch:
            for key, value in changes.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch[key] = value
        self.passed = self.passed[:1]
        for key, value in changes.items():
            self.state.expiries.pop(key, None)
            if value is None:
                self.state.items.pop(key, None)
            else:
                self.state.items[key] = value
        self.passing()

    def set_expiring(self) -> None:
        key, value = b"e%d" % self.chance.randrange(EXPIRING), self.value()
        seconds = self.chance.choice([None, 1.0, 5.0, 20.0])
        if self.chance.random() < 0.7:
            self.store.set(key, value, seconds)
        elif self.store.touch(key, seconds):
            value = self.state.items[key]
        else:
            assert key not in self.state.items
            return
        self.changed(key, value, None if seconds is None else self.clock.now + seconds)

    def wait(self) -> None:
        """Let time pass, and meet what has expired."""
        self.clock.now += self.chance.choice([1, 1, 5])
        self.meet_expired()

    def meet_expired(self) -> None:
        """Look at the keys whose time is over, and write to them, which the store counts them out by."""
        for key in self.state.expired(self.clock.now):
            assert self.store.get(key) is None
            self.store.delete_many([key])
            self.changed(key, None)

    def use_session(self) -> None:
        name = self.chance.choice(NAMES)
        session = self.sessions.get(name)
        if session is None:
            session = self.sessions[name] = self.store.session(name)
            assert session.serial == self.state.serials.get(name, 0)
        key, fresh = self.key(), self.value()
        old = self.state.items.get(key)
        value: bytes | None = fresh
        what = self.chance.choice(["upsert", "delete", "rmw", "read-modify-write of what is not there"])
        if what == "upsert":
            session.upsert(key, fresh)
        elif what == "delete":
            assert session.delete(key) == (old is not None)
            value = None
        elif what == "rmw":
            value = session.rmw(key, lambda held: held[:-1] + b"m", b"first")
            assert value == (b"first" if old is None else old[:-1] + b"m")
        else:
            value = session.rmw(key, lambda held: None)
            assert value is None
            value = old
        self.state.serials[name] = self.state.serials.get(name, 0) + 1
        assert session.serial == self.state.serials[name]
        if value != old:
            self.changed(key, value)
        self.passing()

    def commit_session(self) -> None:
        if self.sessions:
            name = self.chance.choice(list(self.sessions))
            session = self.sessions[name]
            assert session.commit() == session.serial == session.durable_serial
            if self.chance.random() < 0.5:
                session.close()
                del self.sessions[name]

    def forget_session(self) -> None:
        name = self.chance.choice(NAMES)
        if name not in self.sessions:
            assert self.store.forget_session(name) == (name in self.state.serials)
            self.state.serials.pop(name, None)
            self.passing()

    def clear(self) -> None:
        self.store.clear()
        self.state.items.clear()
        self.state.expiries.clear()
        self.passing()

    def sync(self) -> None:
        self.store.sync()

    def push(self) -> None:
        """Have everything so far leave memory."""
        if self.alone():
            push_to_disk(self.store)
        else:
            self.store.sync()

    def fill(self) -> None:
        """Append as much as some pages, so that others leave memory."""
        for number in range(self.chance.randrange(1, 12)):
            key, value = b"filler %d" % number, b"%d" % self.chance.getrandbits(30) * 300
            self.store[key] = value
            self.changed(key, value)
            self.note()

    def settle_all(self) -> None:
        assert len(self.store) == len(self.state.items)

    def grow_index(self) -> None:
        self.grow()
