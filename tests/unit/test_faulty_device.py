"""oxidbm.testing.FaultyDevice: which calls fail, how, how often, and that all others pass."""

import errno
import os
import threading
from pathlib import Path

import pytest

import oxidbm
from oxidbm.device import Device, Directory, FileDevice
from oxidbm.testing import CrashDevice, FaultyDevice, check_device
from oxidbm.testing.faulty_device import CALLS
from tests.support import Quiet, run

PAGE = 4096
OPTIONS: Quiet = {"memory": "1MiB", "page_size": PAGE, "durability": "manual", "compaction": False}


def test_every_call_of_a_device_is_handed_on() -> None:
    calls = {name for name, value in vars(Device).items() if not name.startswith("_") and callable(value)}
    assert set(CALLS) == calls
    assert calls <= vars(FaultyDevice).keys()
    assert calls - vars(CrashDevice).keys() == {"read_many", "will_read", "data_from", "finish", "look_again"}, (
        "whose defaults serve"
    )


def test_without_faults_all_promises_are_kept(tmp_path: Path) -> None:
    check_device(lambda: FaultyDevice(FileDevice(Directory(str(tmp_path)), 12)))
    inner = CrashDevice(PAGE)
    device = FaultyDevice(inner)
    check_device(lambda: device)
    assert set(device.calls) == set(CALLS)
    assert device.calls["write"] == sum(event.kind == "write" for event in inner.events)


def written(device: FaultyDevice, count: int) -> list[str]:
    """Write so many times, four bytes each behind the last; return what came of each."""
    came = []
    for _ in range(count):
        try:
            device.write(device.device.end() or 64, memoryview(b"1234"))
            came.append("")
        except OSError as failure:
            came.append(f"{errno.errorcode[failure.errno or 0]} {failure.strerror == os.strerror(failure.errno or 0)}")
    return came


@pytest.mark.parametrize(
    ("after", "times", "wanted"),
    [
        (0, None, ["x", "x", "x", "x"]), (2, None, ["", "", "x", "x"]), (1, 1, ["", "x", "", ""]),
        (0, 2, ["x", "x", "", ""]), (9, None, ["", "", "", ""]),
    ],
)  # fmt: skip
def test_which_calls_fail(after: int, times: int | None, wanted: list[str]) -> None:
    device = FaultyDevice(CrashDevice(PAGE))
    device.fail("write", errno.ENOSPC, after=after, times=times)
    assert written(device, 4) == [word.replace("x", "ENOSPC True") for word in wanted]
    assert device.device.end() == (64 + 4 * wanted.count("") if "" in wanted else 0)
    assert device.calls["write"] == 4
    device.heal()
    assert written(device, 1) == [""]


@pytest.mark.parametrize(("part", "size"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_a_write_that_breaks_off(part: float, size: int) -> None:
    device = FaultyDevice(CrashDevice(PAGE))
    written(device, 1)
    device.fail("write", errno.EIO, part=part)
    assert written(device, 1) == ["EIO True"]
    assert device.read(68, 100) == b"1234"[:size]
    with pytest.raises(ValueError, match=r"part is a share of the data, from 0.0 to 1.0, not 2"):
        device.fail("write", errno.EIO, part=2)


def test_calls_that_are_counted_together_and_other_exceptions() -> None:
    device = FaultyDevice(CrashDevice(PAGE))
    device.fail(("write", "sync"), KeyboardInterrupt("stop"), after=3, times=1)
    written(device, 2)
    device.sync()
    with pytest.raises(KeyboardInterrupt, match="stop"):
        device.sync()
    device.sync()
    with pytest.raises(ValueError, match="a device has no call 'fsync'; it has begin, end, write"):
        device.fail("fsync", errno.EIO)


def test_a_function_before_a_call_may_use_the_device() -> None:
    device = FaultyDevice(CrashDevice(PAGE))
    written(device, 1)
    seen: list[int] = []
    device.before("write", lambda: seen.append(device.end()), after=1, times=2)
    written(device, 4)
    assert seen == [72, 76]
    assert device.calls["end"] == 2


def test_a_slow_call_holds_no_other_up() -> None:
    device = FaultyDevice(CrashDevice(PAGE))
    asleep, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        asleep.set()
        assert go_on.wait(300)

    device.before("sync", wait)
    device.slow("read", 0.001)

    def use() -> None:
        assert asleep.wait(300)
        written(device, 1)
        assert device.read(64, 4) == b"1234"
        go_on.set()

    run(device.sync, use)


@pytest.mark.parametrize("call", ["write", "sync"])
def test_each_call_that_fails_leaves_the_last_commit(call: str, tmp_path: Path) -> None:
    """As the documentation says: one run counts, and then there is one for each call."""

    def count_up(device: FaultyDevice, path: Path) -> int:
        done = 0
        try:
            with oxidbm.Store(path, device=device, **OPTIONS) as store:
                for number in range(1, 4):
                    store["n"] = b"%d" % number
                    store["more"] = bytes(3000 * number)
                    store.sync()
                    done = number
        except oxidbm.PoisonedError as failure:
            assert os.strerror(errno.ENOSPC) in str(failure)  # noqa: PT017 - the run without faults raises nothing
        return done

    whole = FaultyDevice(CrashDevice(PAGE))
    assert count_up(whole, tmp_path / "whole") == 3
    assert whole.calls[call] >= 3
    for after in range(whole.calls[call]):
        inner = CrashDevice(PAGE)
        device = FaultyDevice(inner)
        device.fail(call, errno.ENOSPC, after=after, part=0.5)
        done = count_up(device, tmp_path / str(after))
        assert done < 3
        with oxidbm.Store(tmp_path / str(after), device=inner.crash(), **OPTIONS) as store:
            assert int(store.get("n", b"0")) == done
            assert store.check() == []
