"""A store as the mapping below zict's."""

import pickle
from pathlib import Path

import pytest

import oxidbm

zict = pytest.importorskip("zict", reason="zict is not installed: pip install oxidbm[integrations]")


def test_a_buffer_spills_into_a_store(tmp_path: Path) -> None:
    spilled = oxidbm.Store(tmp_path / "spilled", key=str, value="pickle", memory="1MiB")
    buffer = zict.Buffer({}, spilled, n=3)
    wanted = {str(number): {"number": number, "squares": (number**2,)} for number in range(10)}
    buffer.update(wanted)
    assert len(spilled) == 7
    assert dict(buffer) == wanted
    assert "0" in buffer
    del buffer["0"]
    assert "0" not in buffer
    assert "0" not in spilled
    buffer.close()
    assert spilled.closed


def test_a_func_and_an_lru_keep_bytes_in_a_store(tmp_path: Path) -> None:
    store = oxidbm.Store(tmp_path / "store", key=str, memory="1MiB")
    gone: list[str] = []
    mapping = zict.LRU(2, zict.Func(pickle.dumps, pickle.loads, store), on_evict=lambda key, value: gone.append(key))
    mapping["a"], mapping["b"], mapping["c"] = [1], [2], [3]
    assert (gone, list(store)) == (["a"], ["b", "c"])
    assert pickle.loads(store["c"]) == mapping["c"] == [3]
    mapping.close()


def test_what_was_spilled_is_found_again(tmp_path: Path) -> None:
    for _ in range(2):
        spilled = oxidbm.Store(tmp_path / "spilled", key=str, value="pickle", memory="1MiB")
        cache = zict.Cache(spilled, {}, update_on_set=True)
        assert cache.setdefault("a", {1, 2}) == {1, 2}
        cache.close()
