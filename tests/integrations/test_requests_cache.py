"""oxidbm.integrations.requests_cache, with a server on this machine."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

REASON = "requests-cache is not installed: pip install oxidbm[integrations]"
requests_cache = pytest.importorskip("requests_cache", reason=REASON)

from oxidbm.integrations.requests_cache import OxidbmCache, OxidbmStorage  # noqa: E402


class Handler(BaseHTTPRequestHandler):
    """Says how often it was asked; /from leads to /to."""

    asked: list[str]

    def do_GET(self) -> None:
        """Answer."""
        self.asked.append(self.path)
        self.send_response(302 if self.path == "/from" else 200)
        if self.path == "/from":
            self.send_header("Location", "/to")
        body = f"{len(self.asked)}".encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as the base class calls it
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Handler.asked = []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("serializer", ["pickle", "json"])
def test_a_session_asks_once_also_after_it_was_closed(tmp_path: Path, url: str, serializer: str) -> None:
    for round_number in range(2):
        cache = OxidbmCache(tmp_path / "cache", serializer=serializer, memory="1MiB")
        with requests_cache.CachedSession(backend=cache) as session:
            first, second = session.get(f"{url}/a"), session.get(f"{url}/a")
            assert (first.text, first.from_cache) == ("1", round_number == 1)
            assert (second.text, second.from_cache) == ("1", True)
        cache.close()
    assert Handler.asked == ["/a"]


def test_redirections_are_kept(tmp_path: Path, url: str) -> None:
    cache = OxidbmCache(tmp_path / "cache", memory="1MiB")
    session = requests_cache.CachedSession(backend=cache)
    assert session.get(f"{url}/from").url == f"{url}/to"
    assert session.get(f"{url}/from").from_cache
    assert len(cache.redirects) == 1
    assert cache.contains(url=f"{url}/from")
    cache.delete(urls=[f"{url}/to"])
    cache.delete(urls=[f"{url}/from"])
    assert (len(cache.responses), len(cache.redirects)) == (0, 0)
    session.close()


def test_the_cache_is_looked_through_and_cleared(tmp_path: Path, url: str) -> None:
    cache = OxidbmCache(tmp_path / "cache", memory="1MiB")
    session = requests_cache.CachedSession(backend=cache, expire_after=3600)
    for path in ("a", "b", "c"):
        session.get(f"{url}/{path}")
    assert cache.urls() == [f"{url}/a", f"{url}/b", f"{url}/c"]
    assert [response.is_expired for response in cache.filter()] == [False] * 3
    cache.reset_expiration(timedelta(seconds=-1))
    cache.delete(expired=True)
    assert list(cache.responses) == []
    session.get(f"{url}/a")
    cache.clear()
    assert not session.get(f"{url}/a").from_cache
    session.close()


def test_a_storage_is_a_mapping(tmp_path: Path) -> None:
    storage = OxidbmStorage(tmp_path / "storage", memory="1MiB")
    storage["a"], storage["b"] = "1", "2"
    assert (dict(storage), len(storage), "a" in storage, "c" in storage) == ({"a": "1", "b": "2"}, 2, True, False)
    del storage["a"]
    with pytest.raises(KeyError):
        storage["a"]
    storage.bulk_delete(["a", "b"])
    assert dict(storage) == {}
    storage.close()


def test_what_cannot_be_deserialized_is_none(tmp_path: Path) -> None:
    storage = OxidbmStorage(tmp_path / "storage", "pickle", memory="1MiB")
    storage.store["a"] = b"no pickle"
    assert storage["a"] is None
    storage.close()
