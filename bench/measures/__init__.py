"""Every measure, in the order in which they are run."""

from __future__ import annotations

from bench.measures.base import Figure, Measure, Outcome, Settings
from bench.measures.checkpoints import Checkpoints
from bench.measures.cold import Cold
from bench.measures.durable import Durable
from bench.measures.faces import Faces
from bench.measures.files import Churn, ImportTime, Replay
from bench.measures.following import Following
from bench.measures.growth import TenMillion
from bench.measures.logs import Logs
from bench.measures.memory import Larger, Memory
from bench.measures.queues import Queues
from bench.measures.snapshots import Snapshots
from bench.measures.speed import Hot, Million, ScanRate

MEASURES: dict[str, type[Measure]] = {
    measure.name: measure
    for measure in (
        Hot,
        Million,
        TenMillion,
        Memory,
        Larger,
        Cold,
        Churn,
        Replay,
        Durable,
        ScanRate,
        ImportTime,
        Faces,
        Checkpoints,
        Snapshots,
        Following,
        Logs,
        Queues,
    )
}

__all__ = ["MEASURES", "Figure", "Measure", "Outcome", "Settings"]
