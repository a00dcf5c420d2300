"""Celery beat's schedule in a store: `celery beat --scheduler oxidbm.integrations.celery.Scheduler`.

What ran last is durable at each of the scheduler's syncs, and a power cut leaves the last of them, not a broken file.
"""

from typing import Any

from celery.beat import PersistentScheduler

import oxidbm
from oxidbm import shelve

__all__ = ["Scheduler"]


class Scheduler(PersistentScheduler):
    """Celery's persistent scheduler on a shelf in a store; its entries are pickled, as they are in Celery's own file.

    The file of `celery beat --schedule` is the store's directory. A schedule of Celery's own is not read: give another
    name, and the entries begin anew.
    """

    def _open_schedule(self) -> Any:
        return shelve.open(self.schedule_filename, writeback=True, serializer="pickle")

    def _remove_db(self) -> None:
        oxidbm.open(self.schedule_filename, "n").close()
