"""The codecs that --key and --value take: one list, in the document, the help, the completion and the error."""

from pathlib import Path
from typing import get_args

import pytest

from oxidbm import codecs
from oxidbm._plain import WRITTEN, Plain
from tests.cli.helpers import invoke
from tests.support import ROOT

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")


def test_the_names_are_those_of_the_codecs_that_can_be_written() -> None:
    assert set(WRITTEN) - {"tuple(str,int)"} == set(get_args(codecs.Name)) - {"pickle"}
    assert all(Plain(name).writes for name in WRITTEN)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_name_is_in_every_list(name: str, tmp_path: Path) -> None:
    from oxidbm.cli.completion import codecs as completed

    document = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    said = document.split("make a store with the codecs that `--key CODEC`")[1].split("\n\n")[0]
    assert f"`{name}`" in said or name == "tuple(str,int)"
    assert name in invoke("set", "-h").stdout.replace("\n", " ").replace(",", " , ") or name == "tuple(str,int)"
    assert name in completed("")
    refused = invoke("set", tmp_path / "s", "a", "1", "--value", "other")
    assert (refused.exit_code, f"{name}, " in refused.stderr or f"{name} and so on" in refused.stderr) == (2, True)
