"""Frames: what is put into a page comes out of it, frames are used again, and memory is counted."""

import gc
import os
import subprocess
import sys

import pytest
from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core.budget import Budget
from oxidbm._core.log.frames import Frames
from oxidbm._core.memory import VIEW_BYTES, VIEW_WORDS, bytes_header, extend_zero, layout_known, reserve_words
from tests.support import PURE, ROOT

PAGE_BITS = 12
PAGE = 1 << PAGE_BITS


def make(slots: int = 8) -> Frames:
    """Return empty frames of small pages."""
    return Frames(PAGE_BITS, slots, Budget(1 << 30))


def opened(frames: Frames, page: int) -> None:
    """Give a page a frame, a new one where no spare one is left."""
    if not frames.spares():
        frames.prepare()
    frames.open(page)


def filled(frames: Frames, page: int) -> bytes:
    """Give a page a frame with bytes that tell it apart, and return them."""
    opened(frames, page)
    data = bytes((page * 7 + i) % 256 for i in range(PAGE))
    frames.fill(page, data)
    return data


def test_what_is_filled_in_comes_out() -> None:
    frames = make()
    data = {page: filled(frames, page) for page in range(3)}
    for page, expected in data.items():
        assert frames.copy_out(page, 0, PAGE) == expected
        assert frames.copy_out(page, 13, 100) == expected[13:113]
        assert frames.copy_out(page, PAGE, 0) == b""
        assert bytes(frames.export(page, 8, 80)) == expected[8:80]
        assert len(frames.words[page]) == VIEW_WORDS + PAGE // 8


def test_slices_of_a_page_outlive_it() -> None:
    frames = make()
    expected = filled(frames, 1)
    kept = [frames.copy_out(1, start, 100) for start in range(0, 4000, 50)]
    frames.close(1)
    opened(frames, 2)
    frames.fill(2, bytes(PAGE))
    frames.free()
    gc.collect()
    assert kept == [expected[start : start + 100] for start in range(0, 4000, 50)]
    assert all(hash(piece) == hash(bytes(bytearray(piece))) for piece in kept)


def test_frames_are_used_again() -> None:
    frames = make()
    filled(frames, 0)
    filled(frames, 1)
    assert (frames.page_frames, frames.in_use(), frames.budget.frame_bytes()) == (2, 2, 2 * PAGE)
    frames.close(0)
    assert (frames.page_frames, frames.in_use(), frames.budget.frame_bytes()) == (2, 1, 2 * PAGE)
    data = filled(frames, 2)
    assert (frames.page_frames, frames.in_use()) == (2, 2)
    assert frames.copy_out(2, 0, PAGE) == data
    frames.close(1)
    assert frames.drop_spare()
    assert not frames.drop_spare()
    assert (frames.page_frames, frames.budget.frame_bytes()) == (1, PAGE)
    assert frames.copy_out(2, 0, PAGE) == data


def test_slots_go_round() -> None:
    frames = make(8)
    for page in (6, 7, 8, 9):
        filled(frames, page)
    assert [len(frames.words[slot]) > 0 for slot in range(8)] == [True, True, False, False, False, False, True, True]
    assert frames.copy_out(9 & 7, 0, 8) == bytes(63 + i for i in range(8))


@pytest.mark.parametrize("words", [1, 511, 512])
def test_reach_gives_zeros_and_at_least_what_was_asked(words: int) -> None:
    frames = make()
    opened(frames, 0)
    reached = frames.reach(0, words)
    assert words <= reached <= PAGE // 8
    assert frames.reach(0, 1) == reached
    assert bytes(frames.export(0, 0, words * 8)) == bytes(words * 8)


def test_large_pages_are_reached_in_steps() -> None:
    frames = Frames(20, 8, Budget(1 << 30))
    opened(frames, 0)
    assert frames.reach(0, 1) == 8192
    assert frames.reach(0, 8193) == 16384
    assert frames.reach(0, 131072) == 131072
    assert len(frames.words[0]) == VIEW_WORDS + 131072


def test_run_of_pages() -> None:
    frames = make()
    filled(frames, 0)
    words = 3 * PAGE // 8 + 1
    frames.prepare_run(words)
    assert frames.run_ready(words)
    assert not frames.run_ready(words + 1)
    frames.open_run(1, words)
    assert not frames.run_ready(words)
    data = bytes(range(256)) * (words * 8 // 256) + bytes(words * 8 % 256)
    frames.fill(1, data)
    assert frames.copy_out(1, 0, words * 8) == data
    assert bytes(frames.export(1, 0, words * 8)) == data
    assert frames.budget.frame_bytes() == PAGE + words * 8
    assert frames.in_use() == 1, "a run is no page frame"
    frames.close(1)
    assert frames.budget.frame_bytes() == PAGE
    assert len(frames.spare_words) == 0, "a run's frame is not kept"


def test_page_is_not_opened_twice() -> None:
    frames = make()
    opened(frames, 3)
    frames.prepare()
    with pytest.raises(AssertionError):
        opened(frames, 3)
    frames.prepare()
    with pytest.raises(AssertionError):
        frames.open(3 + 8)


def test_free_gives_all_back() -> None:
    frames = make()
    filled(frames, 0)
    frames.prepare_run(2 * PAGE)
    frames.open_run(1, 2 * PAGE)
    frames.prepare_run(3 * PAGE)
    frames.close(0)
    frames.free()
    assert (frames.budget.frame_bytes(), frames.page_frames) == (0, 0)


@pytest.mark.parametrize("count", [0, 1, 8191, 8192, 8193, 20_000])
def test_extend_zero(count: int) -> None:
    words = extend_zero(vec[i64]([7]), count)
    assert len(words) == 1 + count
    assert bytes(memoryview(words).cast("B")) == (7).to_bytes(8, "little") + bytes(8 * count)


def test_reserved_room_begins_with_the_header() -> None:
    words = reserve_words(bytes_header(24), VIEW_WORDS + 3, False)
    assert len(words) == VIEW_WORDS == VIEW_BYTES // 8
    assert words[1] == id(bytes)
    assert words[2] == 24


@pytest.mark.compiled_only("views need the compiled core")
def test_views_are_used_where_they_can_be() -> None:
    frames = make()
    assert frames.has_views == layout_known() == (not PURE)


def test_a_frame_that_was_given_up_is_not_let_go_of_a_second_time() -> None:
    """`pop` leaves a reference behind a vec's end, which the next append drops: the slot is cleared before."""
    code = """
from oxidbm import Store
from oxidbm._core.budget import Budget
from oxidbm._core.log.frames import Frames
frames = Frames(18, 16, Budget(1 << 30))
for _ in range(3):
    frames.prepare()
for page in range(3):
    frames.open(page)
frames.close(0)
frames.drop_spare()
frames.close(1)
frames.close(2)
frames.prepare()
print("alive")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_PERTURB_": "165", "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the collector does not come by in the middle of a call")
@pytest.mark.compiled_only("on the sources every line makes objects")
def test_giving_a_frame_back_makes_no_object() -> None:
    """Or the collector might come by, and others would find a frame that is spare and in its slot."""
    slots = 64
    frames = make(slots)
    for page in range(slots):
        opened(frames, page)
    calls: list[str] = []

    def collected(phase: str, _info: dict[str, int]) -> None:
        calls.append(phase)

    pages = iter(list(range(slots)))
    thresholds = gc.get_threshold()
    gc.collect()
    gc.callbacks.append(collected)
    gc.disable()
    try:
        due = [[] for _ in range(1000)]  # type: ignore[var-annotated]
        gc.set_threshold(10)
        gc.enable()
        for page in pages:
            frames.close(page)
        seen = len(calls)
        held = [[number] for number in range(slots)]  # the next objects, by which it does come
        assert len(calls) > seen
    finally:
        gc.enable()
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(collected)
    assert seen == 0
    assert len(due) + len(held) == 1000 + slots
    assert frames.spares() == slots


def test_runs_that_are_prepared_while_the_list_of_runs_grows() -> None:
    """By what the collector runs, in the middle of the call."""
    frames = make()
    sizes = [600 + number for number in range(200)]
    extra: list[int] = []

    def collected(phase: str, _info: dict[str, int]) -> None:
        if phase == "start" and len(extra) < 1000:
            extra.append(2000 + len(extra))
            frames.prepare_run(extra[-1])

    thresholds = gc.get_threshold()
    gc.callbacks.append(collected)
    try:
        for words in sizes:
            gc.set_threshold(1 + words % 7)  # so that it comes by in each of the places where an object is made
            frames.prepare_run(words)
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(collected)
    assert all(frames.run_ready(words) for words in sizes + extra)
    assert len(frames.run_words) == len(frames.run_views) == len(sizes) + len(extra)
