"""Every call of the system fails once, in the scenarios of the power failures: nothing durable is lost or torn.

The scenario ends with the failure, the process goes on, closes what it has, and opens again with a disk that works.
"""

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

import oxidbm
from tests.crash.disk import Disk
from tests.crash.test_power_failure import SCENARIOS, Writer, contents
from tests.inside import abandon
from tests.support import soaked

FAILURES = 25
AnyWriter = TypeVar("AnyWriter", bound=Writer)
CALLS = ("pwrite", "write", "fsync", "fdatasync", "replace", "unlink", "ftruncate", "open")


class FailingDisk(Disk):
    """Fails at one call, the first of those that come after `left` others; a write fails in its middle."""

    def __init__(self, root: Path, left: int, code: int) -> None:
        super().__init__(root)
        self.left = left
        self.code = code
        self.calls = 0

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """As it says, with a count before each call."""
        super().install(patch)
        for name in CALLS:
            patch.setattr(os, name, self.counted(name, getattr(self, name)))

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that fails where it is its turn; one that opens a file to read it is not counted."""

        def counted(*arguments: Any, **more: Any) -> Any:
            if name == "open" and not arguments[1] & (os.O_CREAT | os.O_RDWR | os.O_WRONLY):
                return call(*arguments, **more)
            self.calls += 1
            if self.calls == self.left + 1:
                if name in ("pwrite", "write"):
                    data = bytes(arguments[1])
                    call(arguments[0], data[: len(data) // 2], *arguments[2:], **more)
                raise OSError(self.code, os.strerror(self.code))
            return call(*arguments, **more)

        return counted


def run(
    scenario: Callable[[AnyWriter], None], root: Path, left: int, code: int, kind: type[AnyWriter]
) -> tuple[FailingDisk, AnyWriter | None]:
    """Run a scenario with a writer of a kind up to the failure, and close what is open then."""
    root.mkdir()
    disk = FailingDisk(root, left, code)
    writer: AnyWriter | None = None
    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        try:
            writer = kind(disk, root / "store")
            scenario(writer)
        except OSError as failure:
            said = failure.errno == code or os.strerror(code) in str(failure)
            assert said or isinstance(failure, oxidbm.error)  # noqa: PT017
        finally:
            if writer is not None:
                abandon(writer.store)
    return disk, writer


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE], ids=["ENOSPC", "EIO", "EMFILE"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_call_that_fails_loses_nothing_durable(scenario: Callable[[Writer], None], code: int, tmp_path: Path) -> None:
    whole, _ = run(scenario, tmp_path / "whole", 10**9, code, Writer)
    assert whole.calls > 5
    chosen = random.Random(code).sample(range(whole.calls), min(soaked(FAILURES, least=4), whole.calls))
    failed = 0
    for left in chosen:
        disk, writer = run(scenario, tmp_path / str(left), left, code, Writer)
        failed += disk.calls > left
        if writer is None:
            continue
        least = most = 0
        for event in disk.events:
            match event:
                case ("note", "began", index):
                    most = index
                case ("note", "durable", index):
                    least = index
        found = contents(tmp_path / str(left) / "store", least)
        assert found in writer.states[least : most + 1], f"after the failure of call {left}"
    assert failed == len(chosen)
