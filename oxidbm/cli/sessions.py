"""The command for a store's named sessions: it lists what is known of them, and forgets one."""

from typing import Annotated

import typer

from oxidbm.cli import common, stores, streams, words
from oxidbm.cli.common import AsJson, AtCheckpoint, StorePath


def sessions(
    path: StorePath,
    forget: Annotated[
        str | None, typer.Option("--forget", metavar="NAME", help="Forget this session.", show_default="list all")
    ] = None,
    checkpoint: AtCheckpoint = None,
    as_json: AsJson = False,
) -> None:
    """List a store's named sessions: serial number, last use, name; or forget one, exit code 1 where there is none."""
    if forget is not None:
        forget_one(path, forget)
        return
    with stores.reading(path, checkpoint) as store:
        known = store.sessions()
    if not (known or as_json):
        streams.note(f"{path} has no named sessions")
    for session in known:
        if as_json:
            streams.print_json({"name": session.name, "serial": session.serial, "last_used": session.last_used})
        else:
            used = common.shown_time(session.last_used)
            streams.print_line(f"{session.serial:>12}  {used}  {shown_name(session.name)}")


def forget_one(path: StorePath, name: str) -> None:
    """Forget a session durably; NoValue where the store does not know it."""
    with stores.writing(path) as store:
        if not store.forget_session(name):
            raise stores.NoValue(f"the store has no session of the name {shown_name(name)}")


def shown_name(name: str) -> str:
    """Return a session's name as one line of text."""
    return words.readable(name.encode("utf-8", "surrogatepass"))
