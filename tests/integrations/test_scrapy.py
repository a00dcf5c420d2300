"""Scrapy's HTTP cache with the setting HTTPCACHE_DBM_MODULE = "oxidbm.dbm"."""

from pathlib import Path
from typing import Any

import pytest

import oxidbm

REASON = "Scrapy is not installed: pip install oxidbm[integrations]"
httpcache = pytest.importorskip("scrapy.extensions.httpcache", reason=REASON)

from scrapy import Request, Spider  # noqa: E402
from scrapy.http import HtmlResponse  # noqa: E402
from scrapy.utils.test import get_crawler  # noqa: E402

URL = "http://localhost/page"


def spider(directory: Path) -> Any:
    """Return a spider with the settings that the documentation shows, and its cache in a directory."""
    settings = {
        "HTTPCACHE_ENABLED": True,
        "HTTPCACHE_STORAGE": "scrapy.extensions.httpcache.DbmCacheStorage",
        "HTTPCACHE_DBM_MODULE": "oxidbm.dbm",
        "HTTPCACHE_DIR": str(directory),
        "HTTPCACHE_EXPIRATION_SECS": 100,
    }
    made = Spider("quotes")
    made.crawler = get_crawler(Spider, settings)
    return made


def test_responses_are_kept_in_a_store(tmp_path: Path) -> None:
    quotes = spider(tmp_path)
    request = Request(URL)
    response = HtmlResponse(URL, body=b"<p>hello</p>", headers={"ETag": "1"}, encoding="utf-8", request=request)
    storage = httpcache.DbmCacheStorage(quotes.crawler.settings)
    storage.open_spider(quotes)
    assert storage.retrieve_response(quotes, request) is None
    storage.store_response(quotes, request, response)
    kept = storage.retrieve_response(quotes, request)
    assert (kept.body, kept.headers["ETag"], kept.url) == (b"<p>hello</p>", b"1", URL)
    storage.close_spider(quotes)
    assert oxidbm.whichdb(tmp_path / "quotes.db") == "oxidbm"
    again = httpcache.DbmCacheStorage(quotes.crawler.settings)
    again.open_spider(quotes)
    assert again.retrieve_response(quotes, Request(URL)).body == b"<p>hello</p>"
    assert again.retrieve_response(quotes, Request(URL + "s")) is None
    again.close_spider(quotes)
