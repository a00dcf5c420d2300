"""Light epoch: an action runs when the readers that were inside have left, and in the order given."""

import functools
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxidbm._core.epoch import LightEpoch


def note(log: list[str], name: str) -> Callable[[], None]:
    """Return an action that appends a name."""
    return lambda: log.append(name)


def test_runs_at_once_without_readers() -> None:
    epoch = LightEpoch()
    ran: list[str] = []
    epoch.bump(note(ran, "a"))
    assert ran == ["a"]
    assert epoch.readers() == 0


def test_waits_for_the_readers_inside_and_for_no_later_one() -> None:
    epoch = LightEpoch()
    ran: list[str] = []
    early = epoch.protect()
    epoch.bump(note(ran, "a"))
    late = epoch.protect()
    assert epoch.readers() == 2
    assert ran == []
    epoch.release(early)
    assert ran == ["a"]
    epoch.bump(note(ran, "b"))
    assert ran == ["a"]
    epoch.release(late)
    assert ran == ["a", "b"]


def test_actions_run_in_the_order_given() -> None:
    epoch = LightEpoch()
    ran: list[str] = []
    first = epoch.protect()
    epoch.bump(note(ran, "a"))
    second = epoch.protect()
    epoch.bump(note(ran, "b"))
    epoch.release(second)
    assert ran == [], "b waits for the first reader too, and behind a"
    epoch.release(first)
    assert ran == ["a", "b"]


def test_slots_are_used_again() -> None:
    epoch = LightEpoch()
    slots = [epoch.protect() for _ in range(3)]
    assert sorted(slots) == [0, 1, 2]
    epoch.release(slots[1])
    assert epoch.protect() == slots[1]
    assert len(epoch.slots) == 3


def test_leave_runs_nothing_itself() -> None:
    epoch = LightEpoch()
    ran: list[str] = []
    slot = epoch.protect()
    epoch.bump(note(ran, "a"))
    epoch.leave(slot)
    assert ran == []
    epoch.drain()
    assert ran == ["a"]


def test_action_may_bump_and_protect() -> None:
    epoch = LightEpoch()
    ran: list[str] = []

    def action() -> None:
        ran.append("outer")
        epoch.bump(note(ran, "inner"))
        epoch.release(epoch.protect())

    slot = epoch.protect()
    epoch.bump(action)
    epoch.bump(note(ran, "last"))
    epoch.release(slot)
    assert ran == ["outer", "last", "inner"] or ran == ["outer", "inner", "last"]
    assert sorted(ran) == ["inner", "last", "outer"]
    assert not epoch.actions


def test_actions_run_one_at_a_time() -> None:
    """Another thread may drain while an action, as the deletion of a file does, lets others run."""
    epoch = LightEpoch()
    ran: list[str] = []

    def action() -> None:
        ran.append("begins")
        other = threading.Thread(target=epoch.drain)
        other.start()
        other.join()
        ran.append("ends")

    slot = epoch.protect()
    epoch.bump(action)
    epoch.bump(note(ran, "next"))
    epoch.release(slot)
    assert ran == ["begins", "ends", "next"]


def test_action_that_raises_is_gone() -> None:
    epoch = LightEpoch()
    ran: list[str] = []

    def action() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        epoch.bump(action)
    epoch.bump(note(ran, "next"))
    assert ran == ["next"]


@given(steps=st.lists(st.sampled_from(["enter", "leave first", "leave last", "bump"]), max_size=60))
def test_against_a_model(steps: list[str]) -> None:
    """The model: an action waits for the set of readers that were inside when it was given."""
    epoch = LightEpoch()
    inside: list[int] = []
    ran: list[int] = []
    waiting: list[tuple[int, set[int]]] = []
    serials: dict[int, int] = {}
    for number, step in enumerate(steps):
        if step == "enter":
            slot = epoch.protect()
            assert slot not in inside
            inside.append(slot)
            serials[slot] = number
        elif step == "bump":
            waiting.append((number, {serials[slot] for slot in inside}))
            epoch.bump(functools.partial(ran.append, number))
        elif inside:
            epoch.release(inside.pop(0 if step == "leave first" else -1))
        here = {serials[slot] for slot in inside}
        expected = []
        for action, readers in waiting:
            if readers & here:
                break
            expected.append(action)
        assert ran == expected
        assert epoch.readers() == len(inside)
