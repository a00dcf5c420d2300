"""Ctrl-C at any moment of what is done to a log: it comes out, the log is usable, and each entry is there or not."""

import signal
from pathlib import Path

import pytest

from tests.crash.log_scenarios import PAGE_BYTES, open_log, sized
from tests.fault.test_interrupts import interrupts
from tests.inside import abandon_log, handle_of_log

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer"),
    pytest.mark.compiled_only("on the sources an exception may come between any two lines"),
]

ROUNDS = 25
KINDS = ["append", "batch", "commit", "truncate", "scan"]


@pytest.mark.parametrize("kind", KINDS)
def test_interrupts(kind: str, tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    handle_of_log(log).log.budget.limit = 8 * PAGE_BYTES
    log.append_many(sized(50, 1000))
    log.commit()

    def work() -> None:
        while True:
            address = log.append(b"single" * 100)
            if kind == "batch":
                with log.batch() as batch:
                    for entry in sized(12, 3000):
                        batch.append(entry)
            elif kind == "commit":
                log.commit(b"cookie")
            elif kind == "truncate":
                log.truncate(address)
                log.commit()
            elif kind == "scan":
                list(log.scan(address - 20_000, uncommitted=True))

    with interrupts() as interrupted:
        assert all(interrupted(work) for _ in range(ROUNDS))
    last = log.append(b"after")
    log.commit(b"end")
    held = list(log)
    assert held[-1] == (last, b"after")
    assert len(held) == len(log)
    batches = [data for _, data in held if len(data) == 3000]
    assert batches == sized(12, 3000) * (len(batches) // 12)
    abandon_log(log)
    with open_log(tmp_path / "log") as log:
        assert list(log) == held
        assert log.cookie == b"end"
