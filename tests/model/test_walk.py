"""The long walk, a short part of it: `python -m tests.model.walk FIRST LAST` goes on for as long as one likes."""

from pathlib import Path

import pytest

from tests.model.walk import STEPS, main, walk_with
from tests.support import scaled, soaked


@pytest.mark.parametrize("seed", range(soaked(8, 2)))
def test_walk(tmp_path: Path, seed: int) -> None:
    walk_with(seed, tmp_path, scaled(STEPS, least=60))


def test_seeds_from_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(7, 8, 5) == 0
    assert capsys.readouterr().out == "seeds 7 to 8: 0 failed\n"
