"""`oxidbm get`: the short way to it says and prints what the command does, and needs neither typer nor rich."""

import subprocess
import sys
from pathlib import Path

import pytest

from oxidbm import Store, codecs
from tests.cli.helpers import environment, invoke, make

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")

WITHOUT = "import sys; sys.modules['typer'] = sys.modules['rich'] = None; from oxidbm.cli import main; main()"


def at_once(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a process that has neither typer nor rich."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, arguments)],
        capture_output=True,
        timeout=300,
        env=environment(),
        check=False,
    )


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store of bytes and one with codecs, in which a value is damaged."""
    path = tmp_path_factory.mktemp("stores")
    make(path / "plain", {b"a": b"red", b"odd": b"\xff\x00", b"two\nlines\x00": b"x", b"--json": b"flag"})
    with Store(path / "typed", key=codecs.Tuple(str, int), value=int) as typed:
        typed["ann", 3] = -5
        typed["bad", 1] = 1
    with Store(path / "typed", key=codecs.RAW, value=codecs.RAW) as raw:
        raw[codecs.Tuple(str, int).encode(("bad", 1))] = b"zz"
    (path / "file").write_bytes(b"")
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("plain", "a"), ("plain", "odd"), ("plain", "odd", "--raw"), ("plain", "odd", "--json"),
        ("--json", "plain", "a"),
        ("plain", "two\\nlines\\x00", "-e"), ("plain", "two\\nlines\\x00"), ("plain", "YQ==", "--base64"),
        ("plain", "--", "--json"), ("plain", "none"), ("plain", "a", "--base64"), ("plain", "\\q", "--escaped"),
        ("plain", "YQ==", "--base64", "-e"),
        ("typed", '["ann", 3]'), ("typed", '["ann",3]', "--json"), ("typed", "ann"), ("typed", '["bad", 1]'),
        ("typed", '["bad", 1]', "--raw"), ("nothing", "a"), ("file", "a"),
    ],
)  # fmt: skip
def test_the_short_way_is_the_command(arguments: tuple[str, ...], stores: Path) -> None:
    given = [str(stores / word) if word in ("plain", "typed", "nothing", "file") else word for word in arguments]
    done = at_once("get", *given)
    expected = invoke("get", *given)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (
        expected.exit_code,
        expected.stdout_bytes,
        expected.stderr,
    )


@pytest.mark.parametrize("arguments", [("get",), ("get", "-h"), ("get", "s"), ("get", "s", "a", "b"), ("keys", "s")])
def test_all_else_is_the_command(arguments: tuple[str, ...]) -> None:
    done = at_once(*arguments)
    assert (done.returncode, done.stderr.startswith(b"oxidbm: the command line needs typer and rich")) == (2, True)


def test_a_value_into_a_file(stores: Path, tmp_path: Path) -> None:
    for arguments, content in (((), b"\xff\x00"), (("--json",), b'{"key": "odd", "value": {"base64": "/wA="}}\n')):
        assert invoke("get", stores / "plain", "odd", "-o", tmp_path / "file", *arguments).exit_code == 0
        assert (tmp_path / "file").read_bytes() == content
    assert invoke("get", stores / "plain", "none", "-o", tmp_path / "none").exit_code == 1
    assert not (tmp_path / "none").exists()


def test_a_key_with_a_backslash_that_is_not_there_is_told_how_to_be_given(stores: Path) -> None:
    said = invoke("get", stores / "plain", "two\\nlines").stderr
    assert said == "oxidbm: the key two\\\\nlines has no value; --escaped takes it as keys and scan print it\n"
