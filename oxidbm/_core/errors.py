"""The store's own exceptions, each named by what the caller must do.

All derive from `error`, an OSError, so that code written for `dbm.error` catches them. Missing keys stay KeyError,
wrong types TypeError and arguments out of range ValueError, as in every mapping.
"""

from mypy_extensions import mypyc_attr


@mypyc_attr(native_class=False)
class error(OSError):  # noqa: N801 - the dbm protocol's name
    """Base of every error the store itself raises."""


@mypyc_attr(native_class=False)
class CorruptionError(error):
    """What the disk holds is not what was written. Restore from a copy; `check()` lists every fault."""


@mypyc_attr(native_class=False)
class FormatError(error):
    """The path holds something else than a store, or a store of a newer format. Choose another path or upgrade."""


@mypyc_attr(native_class=False)
class CodecError(FormatError):
    """The store holds keys or values of another codec. Open it with the codec it was made with."""


@mypyc_attr(native_class=False)
class MissingError(error, FileNotFoundError):
    """There is no store at the path, and the call may not make one."""


@mypyc_attr(native_class=False)
class LockedError(error):
    """Another writer has the store open. Close it there, or open with read_only=True."""


@mypyc_attr(native_class=False)
class StaleError(error):
    """What was opened to read only cannot move to a newer commit. Close it and open it again."""


@mypyc_attr(native_class=False)
class BusyError(error):
    """Something else has to end first: do it afterwards.

    That is the call of the same thread from the middle of which this one came, as from a signal handler; a checkpoint
    that is being made; or a checkpoint that builds on the one to be purged.
    """


@mypyc_attr(native_class=False)
class ReadOnlyError(error):
    """A write to a store that was opened read-only."""


@mypyc_attr(native_class=False)
class ClosedError(error):
    """The store, session or iterator was closed, or belongs to the process this one was forked from."""


@mypyc_attr(native_class=False)
class PoisonedError(error):
    """An earlier write to the disk failed; nothing can be written any more. Reopen to get the last commit."""


@mypyc_attr(native_class=False)
class FullError(error):
    """The store's memory is used up and nothing in it may be dropped. Give it more memory, a path, or evict=True."""


@mypyc_attr(native_class=False)
class BudgetWarning(UserWarning):
    """A store's index is larger than its memory budget, which it takes all the same; `stats()` says how much."""


@mypyc_attr(native_class=False)
class RecoveryWarning(UserWarning):
    """A store was opened without a checkpoint that could not be used; `Store.recovery` says which and why.

    Or a log without its only commit, of which a part is missing, as a crash in the middle of that may leave it.
    """


def behind_its_block() -> RuntimeError:
    """Return the error for what is written into a batch whose block has ended."""
    return RuntimeError("a batch is for one with block, and this one's has ended: begin another one")


def alone(failure: BaseException) -> BaseException:
    """Return an exception that is shown without the one in whose handling it is raised.

    Compiled, `from None` does nothing.
    """
    failure.__suppress_context__ = True
    return failure
