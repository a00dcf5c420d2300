"""The words that options take, as types: for programs that hand such an option on and have to say what it is."""

from typing import Literal, TypeAlias

Durability: TypeAlias = Literal["manual", "interval", "always"]
EvictionPolicy: TypeAlias = Literal["least-recently-stored", "second-chance"]
CheckpointKind: TypeAlias = Literal["fold-over", "snapshot", "incremental", "index", "log"]
OnError: TypeAlias = Literal["raise", "skip", "bytes"]
