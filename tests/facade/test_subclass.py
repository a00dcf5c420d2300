"""A class of one's own that is a Store, with methods, attributes and an __init__ of its own."""

import gc
import weakref
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import oxidbm
from oxidbm import Store


class Settings(Store[str, Any]):
    """A store of settings, which counts what is written and gives a default."""

    def __init__(self, path: Path | None = None, **options: Any) -> None:
        super().__init__(path, key=str, value="objects", **options)
        self.written_keys: list[str] = []

    def __setitem__(self, key: str, value: Any) -> None:
        self.written_keys.append(key)
        super().__setitem__(key, value)

    def get(self, key: Any, default: Any = "unset") -> Any:
        """As a store's, with another default."""
        return super().get(key, default)

    def theme(self) -> Any:
        """Return the theme."""
        return self["theme"]


def test_what_it_adds_and_what_it_has(tmp_path: Path) -> None:
    with Settings(tmp_path / "s") as settings:
        settings["theme"] = "dark"
        settings.update({"size": 3})
        assert settings.theme() == "dark"
        assert settings.get("font") == "unset"
        assert settings.written_keys == ["theme"]
        assert isinstance(settings, Store)
        assert dict(settings) == {"theme": "dark", "size": 3}
        assert len(settings) == 2
        assert "Settings" in repr(settings)
        with settings.batch() as batch:
            batch["b"] = 1
        with settings.session("s") as session:
            session.upsert("c", 2)
        assert list(settings.items())[-1] == ("c", 2)
        assert settings.check() == []
    assert settings.closed
    with pytest.raises(oxidbm.ClosedError):
        settings["theme"] = "light"
    with Settings(tmp_path / "s") as settings:
        assert settings.theme() == "dark"


def test_it_is_closed_when_nobody_holds_it(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "s", durability="manual")
    settings["theme"] = "dark"
    known = weakref.ref(settings)
    del settings
    gc.collect()
    assert known() is None
    with Settings(tmp_path / "s") as settings:
        assert settings.theme() == "dark"


def test_an_init_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    class Failing(Store[bytes, bytes]):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            raise KeyError("of its own")

    with pytest.raises(KeyError):
        Failing(tmp_path / "s")
    gc.collect()
    Store(tmp_path / "s", memory="1GiB").close()


def test_one_whose_init_never_runs() -> None:
    class Hollow(Store[bytes, bytes]):
        def __init__(self) -> None:
            pass

    with pytest.raises(AttributeError):
        Hollow()[b"a"]


def test_a_method_can_be_patched(tmp_path: Path) -> None:
    class Plain(Store[bytes, bytes]):
        """With nothing of its own."""

    with Plain(tmp_path / "s") as store, mock.patch.object(store, "get", return_value=b"patched"):
        assert store.get(b"a") == b"patched"


def test_it_shares_with_a_store(tmp_path: Path) -> None:
    class Plain(Store[bytes, bytes]):
        """With nothing of its own."""

    with Plain(tmp_path / "s") as one, Store(tmp_path / "s") as other:
        one[b"a"] = b"1"
        assert other[b"a"] == b"1"
