"""What the shell completes besides commands and options: codecs, kinds of checkpoints, and a store's checkpoints."""

from typing import Final

import typer

from oxidbm._plain import WRITTEN
from oxidbm._publish import path_of
from oxidbm._recover import checkpoints_at
from oxidbm.cli.words import ago

KINDS: Final = ("fold-over", "snapshot", "incremental", "index", "log")


def codecs(incomplete: str) -> list[str]:
    """Return the names of codecs that begin so."""
    return [name for name in WRITTEN if name.startswith(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """Return the kinds of checkpoints that begin so."""
    return [kind for kind in KINDS if kind.startswith(incomplete)]


def tokens(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the checkpoints of the store on the line whose tokens begin so, each with what it is."""
    try:
        found, _ = checkpoints_at(path_of(ctx.params["path"]))
    except Exception:  # whatever is wrong there is said by the command, and not in the middle of a line
        return []
    said = [(made.token, " ".join(filter(None, (made.kind, made.name, ago(made.time))))) for made in found]
    return [(token, what) for token, what in said if token.startswith(incomplete)]
