"""Writes the Python snippets of the documents as modules, for type checkers: `python -m tests.types.snippets TO`.

Each stands at its line of the document, so that what a checker says of it leads there. Documents leave annotations of
functions away; what is called is checked all the same.
"""

import shutil
import sys
from pathlib import Path

from tests.support import ROOT
from tests.test_readme import DOCUMENTS, FENCE

RULES = "# pyright: standard, reportPossiblyUnboundVariable=false"


def write(to: Path) -> int:
    """Write the modules into an empty directory, and return how many there are."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    count = 0
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "_").replace("-", "_")
        for block in FENCE.finditer(text):
            if block[1] == "python":
                line = text.count("\n", 0, block.start(2)) + 1
                (to / f"{name}_{line}.py").write_text(RULES + "\n" * (line - 1) + block[2], encoding="utf-8")
                count += 1
    return count


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1]))} snippets")
