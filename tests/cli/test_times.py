"""Times in --json are seconds since 1970, that of a record's end among them, and null where there is none."""

import json
import time
from pathlib import Path

import pytest

from oxidbm import Store
from tests.cli.helpers import invoke

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")


@pytest.mark.parametrize("command", [("scan",), ("history", "a"), ("history", "b")])
def test_expiry_is_in_seconds(command: tuple[str, ...], tmp_path: Path) -> None:
    before = time.time()
    with Store(tmp_path / "s") as store:
        store.set("a", "1", expire=1000)
        store["b"] = "2"
    result = invoke(command[0], tmp_path / "s", *command[1:], "--json")
    for line in map(json.loads, result.stdout.splitlines()):
        if line["value"] == "1":
            assert before + 999 < line["expiry"] < time.time() + 1001
        else:
            assert line["expiry"] is None
