"""Opening beside a writer: what is read while somebody else may write, recover and delete it."""

import time
from collections.abc import Callable
from typing import Final

from oxidbm._core.device.directory_lock import appearance, last_recovery
from oxidbm._core.errors import CorruptionError, FormatError, LockedError, MissingError
from oxidbm._core.exits import Openable

ATTEMPTS_MAX: Final = 100
PAUSE_SECONDS: Final = 0.0005  # before the second attempt, and as much more before each later one


def open_beside_writer(path: str, opened: Callable[[], Openable], again: bool) -> Openable:
    """Open what is at a path read-only, once more as need be, unless a device that is closed cannot be opened `again`.

    Writers may change meanwhile what is being read; then what was read means nothing. A missing file is one that was
    listed and then deleted, whatever else has changed. A log in which a torn tail was cut off and written anew may be
    read as one that never was, without a fault in it; the recovery's word tells. What looks as before may have changed
    and changed back, as a mark does of one who closed and one who opened meanwhile: a fault is believed when it is
    found twice.
    """
    attempt = 0
    said = ""
    while True:
        attempt += 1
        more = attempt < ATTEMPTS_MAX and again
        before = appearance(path)
        recovery = last_recovery(path)
        try:
            handle = opened()
            faults = handle.faulty() and more and appearance(path) != before
            if recovery == last_recovery(path) and not faults:
                handle.recovery_word = recovery
                return handle
            handle.abandon()
            if not more:
                raise LockedError(
                    f"{path} was recovered by a writer each of the {attempt} times that it was read; open it again "
                    "when its writers have come to rest"
                )
        except MissingError:
            raise
        except FileNotFoundError:
            if not more:
                raise
        except (CorruptionError, FormatError) as failure:
            if not more or (str(failure) == said and appearance(path) == before):
                raise
            said = str(failure)
        time.sleep(PAUSE_SECONDS * attempt)
