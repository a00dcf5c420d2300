"""A directory that was deleted while it was open, or may not be written: what is said of a log, a queue and a store."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Log, MissingError, PoisonedError, Queue, Store
from tests.faster_log.helpers import said_as_another_user

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a directory that is open is not deleted there")

WITHOUT_RIGHTS = """
import os
import oxidbm
log = oxidbm.Log("log")
log.append("entry")
log.commit()
oxidbm.Log("other").reader("theirs").close()
os.chmod("log", 0o555)
os.chmod("other/readers", 0o555)
os.seteuid(65534)
known = oxidbm.Log("other", read_only=True)
for call in (
    lambda: log.reader("mine"),
    lambda: oxidbm.Log("log", read_only=True).reader("mine"),
    lambda: known.reader("theirs"),
    lambda: known.forget_reader("theirs"),
):
    try:
        call()
    except PermissionError as failure:
        print(failure)
os.seteuid(0)
"""


def put_one(queue: Any) -> None:
    """Put an item, durably."""
    queue.put("new")


def set_durably(store: Any) -> None:
    """Set a key, durably."""
    store["new"] = "value"
    store.sync()


def commit_one(log: Any) -> None:
    """Append an entry, durably."""
    log.append("new")
    log.commit()


@pytest.mark.parametrize(
    ("opened", "what", "write"), [(Log, "log", commit_one), (Queue, "queue", put_one), (Store, "store", set_durably)]
)
def test_what_is_gone_is_called_by_its_name(
    opened: Callable[[Path], Any], what: str, write: Callable[[Any], None], tmp_path: Path
) -> None:
    """And where nothing is left, nobody is told to open it again."""
    path = tmp_path / "it"
    held = opened(path)
    write(held)
    shutil.rmtree(path)
    for call in (lambda: write(held), lambda: write(held), held.close):
        with pytest.raises(PoisonedError) as raised:
            call()
        assert str(raised.value) == (
            f"the {what} {path} takes no more writes since one failed: [Errno 2] its directory was deleted: '{path}'. "
            "Reads still work; nothing is left to reopen"
        )


@pytest.mark.parametrize(
    ("opened", "what", "write"), [(Log, "log", commit_one), (Queue, "queue", put_one), (Store, "store", set_durably)]
)
def test_what_is_missing_is_to_be_put_back(
    opened: Callable[[Path], Any], what: str, write: Callable[[Any], None], tmp_path: Path
) -> None:
    path = tmp_path / "it"
    held = opened(path)
    write(held)
    (path / "log").rename(tmp_path / "moved")
    said = (
        rf"the {what} .* was deleted, moved or replaced while it was open: .*; put back what is missing, and reopen it"
    )
    with pytest.raises(PoisonedError, match=said):
        write(held)
    with pytest.raises(PoisonedError, match=said):
        held.close()
    (tmp_path / "moved").rename(path / "log")
    opened(path).close()


def test_a_reader_of_a_log_that_is_gone(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.append("entry")
    log.commit()
    shutil.rmtree(tmp_path / "log")
    for call in (lambda: log.reader("mine"), lambda: log.forget_reader("mine")):
        with pytest.raises(
            MissingError, match="the log's directory was deleted, and no reader can keep where it stands"
        ):
            call()
    assert log.readers() == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_a_reader_that_may_not_be_kept(tmp_path: Path) -> None:
    """Each call says what it wanted to write, and what does without."""
    said = said_as_another_user(WITHOUT_RIGHTS, tmp_path)
    lines = said.splitlines()
    assert len(lines) == 4
    for line, name, place in zip(
        lines,
        ["mine", "mine", "theirs", "theirs"],
        ["log/readers", "log/readers", "other/readers/theirs.pos", "other/readers/theirs.pos"],
        strict=True,
    ):
        assert f"the reader {name!r} of {place.partition('/')[0]} keeps where it stands in a file" in line
        assert line.endswith(f"follow() needs none: {place!r}")
