"""oxidbm.testing: a CrashDevice leaves what a power cut may leave, and no more; check_crashes finds broken promises."""

from collections.abc import Callable
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.device.directory import CLEAN, LOCK, LOG, STORE
from oxidbm.testing import CrashDevice, CrashState, check_crashes, check_device, crash_states
from oxidbm.testing.directory_files import SMALL_BYTES_MAX, DirectoryFiles
from tests.inside import abandon
from tests.support import PURE, Quiet

PAGE = 4096
SECTOR = 512
OPTIONS: Quiet = {"memory": "1MiB", "page_size": PAGE, "durability": "manual", "compaction": False}


def write(device: CrashDevice, address: int, data: bytes) -> None:
    """Write bytes."""
    device.write(address, memoryview(data))


def left(device: CrashDevice, seed: int = 0) -> list[list[tuple[int, bytes]]]:
    """Return the segments of each state."""
    states = crash_states(device, seed=seed)
    return [[(start, bytes(data)) for start, data in state.device.segments] for state in states]


def any_left(device: CrashDevice) -> list[list[tuple[int, bytes]]]:
    """Return the segments of the states of many seeds."""
    return [segments for seed in range(200) for segments in left(device, seed)]


@pytest.mark.parametrize("segment_bytes", [16384] if PURE else [1, 16384, 1 << 30])
def test_a_crash_keeps_all_promises_of_a_device(segment_bytes: int) -> None:
    devices = [CrashDevice(PAGE, segment_bytes=segment_bytes)]

    def open_device() -> CrashDevice:
        devices.append(devices[-1].crash())
        return devices[-1]

    check_device(open_device)
    check_device(lambda: devices[0])


def test_what_was_synced_is_in_every_state_and_the_rest_in_any_part() -> None:
    device = CrashDevice(PAGE)
    write(device, 0, b"a" * 2 * SECTOR)
    device.sync()
    write(device, 2 * SECTOR, b"b" * 3 * SECTOR)
    found = {segments[0][1] for segments in any_left(device) if segments}
    durable = b"a" * 2 * SECTOR
    after_sync = {data[2 * SECTOR :] for data in found if data[: 2 * SECTOR] == durable}
    b, gap = b"b" * SECTOR, bytes(SECTOR)
    wanted = {b"", b, b + b, b + b + b, gap + b, gap + b + b, b + gap + b, gap + gap + b}
    sizes = {gap, gap + gap, gap + gap + gap, b + gap, b + b + gap}
    assert after_sync >= wanted | sizes
    torn = {len(data) % SECTOR for data in after_sync if data == b"b" * len(data)}
    assert len(torn) > 5
    before_sync = {data for data in found if len(data) < 2 * SECTOR}
    assert {b"", b"a" * SECTOR} <= before_sync
    assert device.crash().read(0, PAGE) == durable


def test_nothing_and_everything_are_among_the_states() -> None:
    device = CrashDevice(PAGE)
    for number in range(3):
        write(device, number * 8, b"%d" % number * 8)
    states = left(device)
    assert states[0] == []
    for number in range(4):
        assert any(b"".join(b"%d" % i * 8 for i in range(number)) == data for ((_, data),) in filter(None, states))


def test_segments_begin_and_go_in_order() -> None:
    device = CrashDevice(PAGE, segment_bytes=PAGE)
    for number in range(4):
        write(device, number * PAGE, b"%d" % number * PAGE)
    device.sync()
    device.truncate_before(2 * PAGE)
    write(device, 4 * PAGE, b"4" * PAGE)
    write(device, 5 * PAGE, b"5" * PAGE)
    assert device.begin() == 2 * PAGE
    starts = {tuple(start // PAGE for start, _ in segments) for segments in any_left(device)}
    for found in filter(None, starts):
        assert found == tuple(range(found[0], found[0] + len(found))), "one is missing in the middle"
    assert {(0, 1, 2, 3), (1, 2, 3), (2, 3), (2, 3, 4), (2, 3, 4, 5)} <= starts
    device.sync()
    assert [start for start, _ in device.crash().segments] == [2 * PAGE, 3 * PAGE, 4 * PAGE, 5 * PAGE]


def test_what_was_cut_off_is_in_no_later_state() -> None:
    device = CrashDevice(PAGE, segment_bytes=PAGE)
    for number in range(3):
        write(device, number * PAGE, b"old" * 1000)
        if number == 0:
            device.sync()
    device.truncate_after(64)
    device.note("cut")
    write(device, PAGE, b"new" * 1000)
    states = [state for seed in range(20) for state in crash_states(device, seed=seed) if state.notes]
    assert states
    for state in states:
        assert state.device.read(0, PAGE)[:64] == (b"old" * 1000)[:64]
        assert b"old" not in b"".join(bytes(data) for start, data in state.device.segments if start)
        assert not any(state.device.read(64, PAGE))
        assert state.device.end() <= PAGE + 3000


def test_an_interrupted_write_is_there_once() -> None:
    device = CrashDevice(PAGE)
    write(device, 64, b"first")
    write(device, 64, b"again, and longer")
    device.sync()
    assert [bytes(data) for _, data in device.crash().segments] == [bytes(64) + b"again, and longer"]


def test_notes_and_words() -> None:
    device = CrashDevice(PAGE)
    write(device, 64, b"x")
    device.note(1)
    device.sync()
    device.note("two")
    states = list(crash_states(device, seed=5))
    assert [state.notes for state in (states[0], states[-1])] == [[], [1, "two"]]
    assert str(states[-1]) == (
        f"crash state {len(states) - 1} of {len(states)}, seed 5: the power is cut after 1 writes, 1 syncs and 2 "
        "notes; of what was not synced, nothing is left"
    )


def test_pages_of_another_size_than_the_device_is_for(tmp_path: Path) -> None:
    with oxidbm.Store(
        tmp_path / "small", device=CrashDevice(2 * PAGE, path=str(tmp_path / "small")), **OPTIONS
    ) as store:
        store["k"] = b"v"
    store = oxidbm.Store(tmp_path / "large", device=CrashDevice(PAGE // 2, path=str(tmp_path / "large")), **OPTIONS)
    store["k"] = b"v"
    with pytest.raises(
        ValueError, match=r"has pages of 4096 bytes, .* for pages of 2048; give the device page_bytes=4096"
    ):
        store.sync()
    abandon(store)


def test_limit_and_seed() -> None:
    device = CrashDevice(PAGE)
    for number in range(50):
        write(device, number * 600, b"%d" % (number % 10) * 600)
    assert left(device, 1) == left(device, 1)
    assert left(device, 1) != left(device, 2)
    for limit in (1, 7):
        states = list(crash_states(device, limit))
        assert len(states) == limit
        assert "after 50 writes" in str(states[-1])
    with pytest.raises(ValueError, match="limit is a number of states, at least 1, not 0"):
        next(crash_states(device, 0))


def states_of(path: Path, program: Callable[[CrashDevice], object]) -> list[CrashState]:
    """Run a program with the store at a path and return the states."""
    device = CrashDevice(PAGE, path=str(path))
    program(device)
    return list(crash_states(device))


def test_the_directory_is_that_of_the_moment(tmp_path: Path) -> None:
    def program(device: CrashDevice) -> None:
        for number in range(2):
            with oxidbm.Store(tmp_path / "store", device=device, **OPTIONS) as store:
                device.note(f"opened {number}")
                store[b"%d" % number] = b"value"
                store.sync()
            device.note(f"closed {number}")

    states = states_of(tmp_path / "store", program)
    assert states[0].files is None
    assert states[0].restore(str(tmp_path / "none")).size() == 0
    assert not (tmp_path / "none").exists()
    seen = {(tuple(state.notes), state.files is not None and CLEAN in state.files) for state in states}
    for notes, clean in [
        ([], False), (["opened 0"], False), (["opened 0"], True), (["opened 0", "closed 0", "opened 1"], True),
        (["opened 0", "closed 0", "opened 1"], False), (["opened 0", "closed 0", "opened 1", "closed 1"], True),
    ]:  # fmt: skip
        assert (tuple(notes), clean) in seen
    for number, state in enumerate(states):
        if state.files is None:
            continue
        device = state.restore(str(tmp_path / str(number)))
        names = {path.name for path in (tmp_path / str(number)).iterdir()}
        assert LOCK not in names
        assert names >= {STORE, LOG} or not state.notes
        with oxidbm.Store(tmp_path / str(number), device=device, **OPTIONS) as store:
            assert store.check() == []
            assert store.keys() >= {b"%d" % i for i in range(2) if f"closed {i}" in state.notes}
    with pytest.raises(ValueError, match="is not empty; have a crash state restored to a path where nothing is yet"):
        states[-1].restore(str(tmp_path / "store"))


def test_a_large_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    files = DirectoryFiles(str(tmp_path))
    assert files.look() == {}
    large = tmp_path / "large"
    large.write_bytes(b"1" * (SMALL_BYTES_MAX + 1))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "small").write_bytes(b"2")
    first = files.look()
    assert first == {"in": None, "in/small": b"2", "large": b"1" * (SMALL_BYTES_MAX + 1)}
    assert files.look() is first
    large.write_bytes(b"3" * (SMALL_BYTES_MAX + 2))
    assert files.look() == {**first, "large": b"3" * (SMALL_BYTES_MAX + 2)}
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        files.look()


def pay(path: str, device: CrashDevice, early: bool = False) -> None:
    """Pay three times, and say so when it is durable, or too early."""
    with oxidbm.Store(path, device=device, **OPTIONS) as store:
        for number in range(1, 4):
            device.note(("paying", number))
            store["paid"] = b"%d" % number
            if not early:
                store.sync()
            device.note(("paid", number))


def verify(path: str, device: CrashDevice, notes: list[object]) -> None:
    """Hold what is left against the notes."""
    with oxidbm.Store(path, device=device, **OPTIONS) as store:
        paid = int(store.get("paid", b"0"))
        assert ("paid", paid + 1) not in notes, "a payment is lost"
        assert paid == 0 or ("paying", paid) in notes, "a payment came from nowhere"
        assert store.check() == []


def test_a_sound_program_passes() -> None:
    count = check_crashes(pay, verify, page_bytes=PAGE)
    assert count > 20
    assert check_crashes(pay, verify, page_bytes=PAGE, limit=5) == 5


def test_a_promise_that_was_made_too_early_is_found() -> None:
    with pytest.raises(AssertionError, match="a payment is lost") as caught:
        check_crashes(lambda path, device: pay(path, device, early=True), verify, page_bytes=PAGE)
    assert len(caught.value.__notes__) == 1
    assert "the power is cut after 0 writes, 0 syncs and 2 notes" in caught.value.__notes__[0]


class ForgetsSyncs(CrashDevice):
    """Says that it has synced."""

    def sync(self) -> None:
        pass


class NotesCutsLate(CrashDevice):
    """Cuts the log off, and has it back after a crash."""

    def truncate_after(self, address: int) -> None:
        before = len(self.events)
        super().truncate_after(address)
        del self.events[before]


def test_a_device_that_does_not_sync_is_found(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    device = ForgetsSyncs(PAGE, path=path)
    pay(path, device)
    with pytest.raises((AssertionError, oxidbm.CorruptionError)):  # noqa: PT012 - the state that fails is one of many
        for number, state in enumerate(crash_states(device)):
            left = str(tmp_path / str(number))
            verify(left, state.restore(left), state.notes)


def test_a_cut_that_does_not_last_is_found_by_a_second_crash(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    kinds = {CrashDevice: 0, NotesCutsLate: 0}
    device = CrashDevice(PAGE, path=path)
    with oxidbm.Store(path, device=device, **OPTIONS) as store:
        store["a"] = b"1" * 3000
        store.sync()
        store["b"] = b"2" * 3000
    for kind in kinds:
        for number, state in enumerate(crash_states(device)):
            left = tmp_path / f"{kind.__name__}{number}"
            again = kind(PAGE)
            again.hold(state.device.segments)
            again.restore(str(left), state.files)
            end = again.end()
            with oxidbm.Store(left, device=again, **OPTIONS) as store:
                cut = end > store.stats()["flushed"]
            for second in crash_states(again) if cut else ():
                kinds[kind] += any(second.device.read(store_end, 8) for store_end in range(end - 8, end))
    assert kinds[NotesCutsLate] > kinds[CrashDevice]


def test_a_second_power_cut_while_the_first_one_is_recovered(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    device = CrashDevice(PAGE, path=path)
    pay(path, device)
    count = 0
    for number, state in enumerate(crash_states(device, limit=40)):
        first = str(tmp_path / f"{number}")
        verify(first, state.restore(first), state.notes)
        for more, second in enumerate(crash_states(state.device, limit=10)):
            left = str(tmp_path / f"{number} {more}")
            verify(left, second.restore(left), state.notes)
            count += 1
    assert count > 30
