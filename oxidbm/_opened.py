"""Opening a store of whatever codecs as one of bytes, for who says itself what was wrong with its checkpoints.

Apart from recover(), whose imports take as long as opening a store does.
"""

import warnings
from typing import Any

from oxidbm._core.errors import RecoveryWarning
from oxidbm._core.store.store import Store
from oxidbm._publish import Path
from oxidbm.codecs import RAW


def opened_quietly(path: Path, **options: Any) -> Store:
    """Return a store of whatever codecs, opened without a warning of checkpoints: for who says `Recovery.faults`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecoveryWarning)
        return Store(path, **{"key": RAW, "value": RAW, **options})
