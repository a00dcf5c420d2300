"""Dates, times, decimals and UUIDs on the command line: plain text, in quotes, or in their JSON form."""

import datetime as dt
import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Store
from oxidbm._plain import HINTS, PLAIN_TEXTS, Plain, Refused
from tests.cli.helpers import invoke

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")

VALUES: dict[str, tuple[Any, str]] = {
    "date": (dt.date(2024, 2, 29), '{"$date": "2024-02-29"}'),
    "datetime": (dt.datetime(2024, 2, 29, 9, 30, tzinfo=dt.UTC), '{"$datetime": ["2024-02-29T09:30:00+00:00", 0]}'),
    "naive-datetime": (dt.datetime(2024, 2, 29, 9, 30), '{"$datetime": ["2024-02-29T09:30:00", 0]}'),  # noqa: DTZ001
    "time": (dt.time(9, 30), '{"$time": ["09:30:00", 0]}'),
    "decimal": (Decimal("1.5"), '{"$Decimal": "1.5"}'),
    "uuid": (uuid.UUID(PLAIN_TEXTS["uuid"]), json.dumps({"$UUID": PLAIN_TEXTS["uuid"]})),
}


@pytest.mark.parametrize("name", VALUES)
def test_plain_quoted_and_json(name: Any, tmp_path: Path) -> None:
    value, as_json = VALUES[name]
    plain = PLAIN_TEXTS[name]
    for text in (plain, f'"{plain}"', as_json):
        result = invoke("set", tmp_path / "s", text, text, "--key", name, "--value", name)
        assert (result.exit_code, result.stderr) == (0, "")
    assert invoke("set", tmp_path / "s", plain, json.dumps(plain), "--json").exit_code == 0
    assert invoke("set", tmp_path / "s", plain, stdin=f"{plain}\n".encode()).exit_code == 0
    with Store(tmp_path / "s", key=name, value=name) as store:
        assert dict(store) == {value: value}
    assert invoke("get", tmp_path / "s", plain).stdout == f"{plain}\n"
    assert invoke("keys", tmp_path / "s").stdout == f"{plain}\n"
    shown = json.loads(invoke("get", tmp_path / "s", as_json, "--json").stdout)
    assert shown == {"key": json.loads(as_json), "value": json.loads(as_json)}
    assert invoke("check", tmp_path / "s").exit_code == 0


@pytest.mark.parametrize("name", PLAIN_TEXTS)
def test_other_text_is_refused_and_told_what_it_looks_like(name: str, tmp_path: Path) -> None:
    for text in ("yesterday", '"yesterday"', "", b"\xff".decode(errors="surrogateescape")):
        result = invoke("set", tmp_path / "s", "a", text, "--value", name)
        assert result.exit_code == 2
        assert result.stderr.endswith(f"is not what the codec {name!r} takes, such as {PLAIN_TEXTS[name]}\n")
    assert not (tmp_path / "s").exists()


def test_other_forms_and_offsets(tmp_path: Path) -> None:
    plain = Plain("datetime")
    assert plain.to_text(plain.from_text(b" 2024-02-29 10:30+01:00 ")) == PLAIN_TEXTS["datetime"].encode()
    assert plain.to_text(plain.from_text(b"2024-02-29T09:30Z")) == PLAIN_TEXTS["datetime"].encode()
    result = invoke("set", tmp_path / "s", "a", "2024-02-29T09:30", "--value", "datetime")
    assert (result.exit_code, "give its offset, as 2024-02-29T09:30+00:00" in result.stderr) == (2, True)
    assert "astimezone" not in result.stderr
    result = invoke("set", tmp_path / "s", "a", "2024-02-29T09:30Z", "--value", "naive-datetime")
    assert (result.exit_code, "the codec 'datetime' is for instants" in result.stderr) == (2, True)
    assert Plain("decimal").to_text(Plain("decimal").from_text(b"-1e3")) == b"-1E+3"


@pytest.mark.parametrize(
    ("name", "text"), [("bool", b"yes"), ("bool", b"1"), ("timedelta", b"1h"), ("timedelta", b"90")]
)
def test_where_no_text_is_plain_the_form_is_told(name: str, text: bytes) -> None:
    with pytest.raises(Refused) as told:
        Plain(name).from_text(text)
    assert str(told.value).endswith(HINTS[name])


def test_parts_of_a_tuple_and_keys_of_another_database() -> None:
    plain = Plain("tuple(str,date)")
    assert plain.from_text(b'["ann", "2024-02-29"]') == plain.from_text(b'["ann", {"$date": "2024-02-29"}]')
    Plain("date").key_from_text(b"2024-02-29")
    with pytest.raises(Refused, match="would become the key 2024-02-29"):
        Plain("date").key_from_text(b'{"$date": "2024-02-29"}')
    with pytest.raises(Refused, match="would become the key 2024-02-29"):
        Plain("date").key_from_text(b"20240229")
