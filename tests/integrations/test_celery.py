"""oxidbm.integrations.celery: the schedule of Celery beat in a store."""

import dbm
from pathlib import Path
from typing import Any

import pytest

import oxidbm

celery = pytest.importorskip("celery", reason="Celery is not installed: pip install oxidbm[integrations]")

from celery.beat import PersistentScheduler  # noqa: E402

from oxidbm.integrations.celery import Scheduler  # noqa: E402


def application() -> Any:
    """Return an application with one task that is due each ten seconds."""
    app = celery.Celery(broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"each ten seconds": {"task": "work", "schedule": 10.0, "args": (1, "two")}}
    app.conf.beat_scheduler = "oxidbm.integrations.celery.Scheduler"
    return app


@pytest.mark.parametrize("closed", [True, False])
def test_what_ran_is_known_to_the_next_scheduler(tmp_path: Path, closed: bool) -> None:
    path = str(tmp_path / "schedule")
    app = application()
    first = Scheduler(app=app, schedule_filename=path)
    entry = first.schedule["each ten seconds"]
    assert (entry.args, entry.total_run_count) == ((1, "two"), 0)
    first.schedule[entry.name] = next(entry)
    first.sync()
    if closed:
        first.close()
    assert oxidbm.whichdb(path) == "oxidbm"
    with oxidbm.Store(path, read_only=True) as store:
        assert b"entries" in store
    if not closed:
        first._store.close()
    second = Scheduler(app=app, schedule_filename=path)
    assert second.schedule["each ten seconds"].total_run_count == 1
    second.close()


def test_the_setting_names_the_class(tmp_path: Path) -> None:
    beat = application().Beat(schedule=str(tmp_path / "schedule"))
    service = celery.beat.Service(app=beat.app, scheduler_cls=beat.scheduler_cls, schedule_filename=beat.schedule)
    assert isinstance(service.scheduler, Scheduler)
    service.sync()


def test_a_damaged_schedule_begins_anew(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "schedule")
    Scheduler(app=application(), schedule_filename=path).close()
    superblock = Path(path, "STORE")
    superblock.write_bytes(b"\0" * len(superblock.read_bytes()))
    for log in Path(path, "log").iterdir():
        log.write_bytes(b"\0" * 100)
    scheduler = Scheduler(app=application(), schedule_filename=path)
    assert "each ten seconds" in scheduler.schedule
    scheduler.close()
    assert capfd.readouterr().out == ""


def test_a_removed_schedule_is_empty(tmp_path: Path) -> None:
    scheduler = Scheduler(app=application(), schedule_filename=str(tmp_path / "schedule"))
    scheduler.close()
    scheduler._remove_db()
    with scheduler._open_schedule() as shelf:
        assert dict(shelf) == {}


def test_celerys_own_scheduler_uses_a_store_where_oxidbm_is_installed_in_dbm(tmp_path: Path) -> None:
    path = str(tmp_path / "schedule")
    with oxidbm.dbm.install():
        scheduler = PersistentScheduler(app=application(), schedule_filename=path)
        assert "each ten seconds" in scheduler.schedule
        scheduler.close()
        assert dbm.whichdb(path) == "oxidbm"
