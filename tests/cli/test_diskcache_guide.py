"""The program of the diskcache guide that copies a cache, run as it stands there; where diskcache is installed."""

import re
from pathlib import Path

import pytest

import oxidbm
from tests.cli.helpers import invoke
from tests.support import ROOT, run_snippet

GUIDE = ROOT / "docs" / "guides" / "diskcache.md"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    diskcache = pytest.importorskip("diskcache", reason="the package diskcache is not installed")
    with diskcache.Cache(str(tmp_path / "cache"), cull_limit=0) as cache:
        cache.set("user:1", {"name": "Ann", "born": 1990}, expire=60)
        cache.set("page", "text", tag="pages")
        cache.set("large", b"x" * 100_000, tag=7)
        cache.set("nothing", None)
        cache.set("gone", 1, expire=-1)
        assert "gone" in list(cache)
    return tmp_path / "cache"


def test_the_guide_s_program_copies_a_cache(source: Path) -> None:
    (program,) = re.findall(
        r"^```py\n(.*?)^```$", GUIDE.read_text().split("## Bringing the data along")[1], re.M | re.S
    )
    result = run_snippet(program, source.parent, "-W", "error")
    assert (result.returncode, result.stdout) == (0, "4 items copied\n"), result.stderr
    with oxidbm.Store(source.parent / "store", key=str, value="objects") as store:
        copied = {"user:1": {"name": "Ann", "born": 1990}, "page": "text", "large": b"x" * 100_000, "nothing": None}
        assert dict(store) == copied
        assert 0 < (store.ttl("user:1") or 0) <= 60
        assert store.ttl("page") is None
        assert (store.evict("pages"), store.evict(7)) == (1, 1)


def test_what_the_guide_says_of_the_command(source: Path) -> None:
    pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
    target = source.parent / "store"
    result = invoke("convert", source, target, "--from", "diskcache")
    assert (result.exit_code, "--keep-pickles" in result.stderr) == (6, True)
    assert invoke("convert", source, target, "--from", "diskcache", "--keep-pickles").exit_code == 0
    with pytest.raises(oxidbm.CodecError):
        oxidbm.Store(target, key=str, value="objects")
