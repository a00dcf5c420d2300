"""Waiting until a session's operations are durable, and being told when they are."""

from typing import Any

from mypy_extensions import i64

from oxidbm._core.durability.notices import FutureNotice, ThreadNotice
from oxidbm._core.durability.serials import SessionState
from oxidbm._core.locks import COMPACTING
from oxidbm._core.seconds import checked_timeout, to_wait
from oxidbm._core.store.handle import Handle


def serial_to_reach(state: SessionState, serial: int | None) -> int:
    """Return the serial number asked for, the newest one for None."""
    newest = int(state.serial)
    if serial is None:
        return newest
    if not 0 <= serial <= newest:
        raise ValueError(
            f"the session's newest operation has the serial number {newest}, and none has {serial}; ask for one from "
            f"0 to {newest}, after the operation has returned"
        )
    return serial


def is_durable(handle: Handle, state: SessionState, serial: int) -> bool:
    """Return whether operations up to a serial number are durable; in a store in memory nothing is awaited."""
    return handle.commits.log.memory_only or serial <= state.durable_at(handle.commits.durable_sequence)


def wait_durable(handle: Handle, state: SessionState, serial: int | None, timeout: object) -> bool:
    """Return whether operations up to a serial number are durable, after waiting up to so many seconds for that."""
    seconds = checked_timeout(timeout)
    wanted = serial_to_reach(state, serial)
    commits = handle.commits
    if is_durable(handle, state, wanted):
        return True
    disk = handle.disk
    if disk is None or not disk.commits_by_itself():
        handle.life.check_writable()
        commits.commit()
        return is_durable(handle, state, wanted)
    handle.life.locks.check(COMPACTING)  # the thread may be waiting for what this one holds
    notice = ThreadNotice(state.commit_of(i64(wanted)))
    try:
        commits.notices.add(notice, commits.durable_sequence)
        return notice.wait(to_wait(seconds))
    finally:
        commits.notices.discard(notice)


def when_durable(handle: Handle, state: SessionState, serial: int | None) -> Any:
    """Return a future that is done when operations up to a serial number are durable."""
    wanted = serial_to_reach(state, serial)
    commits = handle.commits
    done = is_durable(handle, state, wanted)
    notice = FutureNotice(commits.durable_sequence if done else state.commit_of(i64(wanted)), wanted)
    commits.notices.add(notice, commits.durable_sequence)
    return notice.future
