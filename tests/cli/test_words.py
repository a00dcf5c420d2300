"""How the command line writes sizes, times, durations, keys and errors, and that what it writes it reads."""

import ast
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxidbm._plain import Plain
from oxidbm.cli import failures
from oxidbm.cli.words import ago, counted, json_line, readable, seconds_in, size, text_of, unescaped
from tests.support import ROOT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0), ("1.5", 1.5), ("15m", 900.0), ("2h", 7200.0), ("3d", 259_200.0), ("1w", 604_800.0),
        ("500ms", 0.5), ("1h30m", 5400.0), ("1 h 30 min", 5400.0), (" 2 hours ", 7200.0), ("1D", 86_400.0), ("0", 0.0),
        (".5s", 0.5),
    ],
)  # fmt: skip
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "m", "-1", "1h30", "1x", "1 2", "h1", "1e3", "inf", "1hm", "3 dd", "1,5h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration: write a number of seconds, or a number and ms"):
        seconds_in(text)


def test_sizes_counts_and_times_for_people() -> None:
    sizes = {0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1 << 28: "256 MiB", 5 << 40: "5 TiB"}
    assert {count: size(count) for count in sizes} == sizes
    assert size((1 << 20) - 1) == "1 MiB"
    assert [counted(count, "key") for count in (0, 1, 2000)] == ["0 keys", "1 key", "2,000 keys"]
    assert counted(2, "entry", "entries") == "2 entries"
    passed = {0.5: "just now", 5: "5 s ago", 200: "3 min ago", 7300: "2 h ago", 3 * 86_400: "3 d ago"}
    assert {seconds: ago(1e9 - seconds, 1e9) for seconds in passed} == passed
    assert ago(1e9 - 40 * 86_400, 1e9) == "2001-07-31 01:46:40 UTC"
    assert ago(1e9 + 10, 1e9) == "2001-09-09 01:46:50 UTC"
    assert ago(None) == "not committed yet"


@given(st.binary())
def test_what_is_shown_can_be_given_back(data: bytes) -> None:
    assert readable(data).isprintable()
    assert unescaped(readable(data).encode()) == data


@given(st.text())
def test_text_that_is_shown_can_be_given_back(text: str) -> None:
    assert unescaped(readable(text.encode()).encode()) == text.encode()


def test_a_character_is_not_taken_for_a_byte() -> None:
    assert readable("\x85".encode()) == "\\u0085"
    assert readable(b"\x85") == "\\x85"


@pytest.mark.parametrize("text", [b"\\", b"a\\q", b"\\x4", b"\\u12", b"\\UFFFFFFFF"])
def test_what_is_no_escape(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"backslash|no character"):
        unescaped(text)


@given(st.recursive(st.text(), st.lists))
def test_json_is_shown_as_json(item: object) -> None:
    codec = Plain("objects")
    data = codec.from_json(item)
    assert codec.is_json
    assert text_of(codec, data).isprintable()
    assert codec.from_text(text_of(codec, data).encode()) == data
    assert json_line('"\U000e0001\u2028"') == '"\\udb40\\udc01\\u2028"'


def strings_of_the_library() -> list[str]:
    """Return each string of the library's modules, those with figures in them with a word in the place of each."""
    found = []
    for path in sorted((ROOT / "oxidbm").rglob("*.py")):
        if "cli" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values)
                )
    return found


def test_what_is_said_in_the_words_of_options_is_what_the_library_says() -> None:
    """Each pattern finds a message, but for those that begin with a name, which is not written there."""
    strings = strings_of_the_library()
    for pattern, _ in failures.PHRASES:
        of_a_name = pattern.startswith(("^", "\\b"))
        assert of_a_name or any(re.search(pattern, text) for text in strings), pattern


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a: there is no store to open, and this call may not make one", "a: there is no store"),
        (
            "x is open for writing in process; close it there, or open it with read_only=True to read the last commit",
            "x is open for writing in process; end that first. Commands that only read work meanwhile",
        ),
        (
            "values of the codec 'int', and was opened with 'str'; open it with the codec it was made with, value=...",
            "values of the codec 'int', and not 'str'; leave --key and --value out, and it has its own",
        ),
        ("memory='12 apples' is no size; write a number", "--memory '12 apples' is no size; write a number"),
        ("expire is a number of seconds", "--expire is a number of seconds"),
    ],
)
def test_messages_name_options_and_commands(said: str, shown: str) -> None:
    assert failures.without_python(said) == shown
