"""Refuses a stale build, sets Hypothesis up, and skips in pure mode what only the compiled core can do.

OXIDBM_PURE=1        the same tests, at smaller sizes (`tests.support.scaled`), on the core's sources
OXIDBM_EXPECT=...    compiled or pure: tests/test_mode.py fails in the other mode
HYPOTHESIS_PROFILE   dev (default), ci (default where CI is set; the same examples each time) or long
--part=K/N           each N-th of the tests, from the K-th on: N runs do all of them
OXIDBM_EXAMPLES=N    so many examples instead of the profile's, in every test that does not say how many itself
"""

import gc
import os
import signal
from pathlib import Path

import hypothesis
import pytest

import oxidbm
from oxidbm import _pure
from tests.support import PURE, Free, build_fault, scaled

EXAMPLES = {"dev": 50, "ci": 100, "long": 5_000}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the part of the tests that is to run."""
    parser.addoption("--part", default="1/1", metavar="K/N", help="each N-th of the tests, from the K-th on")


def pytest_configure(config: pytest.Config) -> None:
    """Stop before any test when the compiled core is not that of the sources beside it."""
    if not _pure.requested() and os.environ.get("OXIDBM_EXPECT") != "pure":
        fault = build_fault(Path(oxidbm.__file__).parent / "_core")
        if fault is not None:
            pytest.exit(fault, returncode=pytest.ExitCode.USAGE_ERROR)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what runs in its background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    asked = os.environ.get("OXIDBM_EXAMPLES")
    for name, examples in EXAMPLES.items():
        hypothesis.settings.register_profile(
            name,
            max_examples=int(asked) if asked else scaled(examples, least=10),
            deadline=None,
            derandomize=name == "ci",
            print_blob=True,
            suppress_health_check=[hypothesis.HealthCheck.too_slow],
        )
    default = "ci" if os.environ.get("CI") else "dev"
    hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", default))


def pytest_report_header() -> str:
    """Name the mode at the top of the run."""
    return f"oxidbm {oxidbm.__version__}, {'pure' if PURE else 'compiled'} core, {Path(oxidbm.__file__).parent}"


def part_of(items: list[pytest.Item], part: str) -> list[pytest.Item]:
    """Return each N-th test, from the K-th on, for a part of K/N."""
    first, _, count = part.partition("/")
    if not (first.isdecimal() and count.isdecimal() and 0 < int(first) <= int(count)):
        raise pytest.UsageError(f"--part is K/N with K from 1 to N, not {part!r}")
    return items[int(first) - 1 :: int(count)]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not in the part that was asked for; skip the tests marked compiled_only in pure mode."""
    items[:] = part_of(items, config.getoption("--part"))
    if not PURE:
        return
    for item in items:
        marker = item.get_closest_marker("compiled_only")
        if marker is not None:
            item.add_marker(pytest.mark.skip(reason=str(marker.args[0] if marker.args else "compiled only")))


def pytest_collection_finish() -> None:
    """Take what stays to the end out of the garbage collector's sight: each collection would look through all of it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    """Return a function that has the disk say how many bytes it has free."""
    inside = os.statvfs

    def set_free(count: int) -> None:
        def statvfs(path: str | int) -> os.statvfs_result:
            found = list(inside(path))
            found[1], found[2], found[4] = 1, 1 << 40, count  # the unit, how many there are, and are free to anybody
            return os.statvfs_result(found)

        monkeypatch.setattr(os, "statvfs", statvfs)

    return set_free
