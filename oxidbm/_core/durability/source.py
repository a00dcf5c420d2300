"""What recovery begins with: the checkpoints of a store, and whether the log is the one that each was made of."""

from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.device.device import segment_starts
from oxidbm._core.device.directory import CHECKPOINTS
from oxidbm._core.durability.checkpoint import Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.commit_record import (
    COMMIT_RECORD_BYTES,
    COMMIT_SHAPE,
    CommitRecord,
    decode,
)
from oxidbm._core.durability.tokens import is_token, shown_token
from oxidbm._core.errors import CorruptionError, FormatError, MissingError, alone
from oxidbm._core.life import Life
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import read_disk, value_of
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
)
from oxidbm._core.logbook import INFO, WARNING, tell

ATTEMPTS_MAX: Final = 100


@final
class Recovery:
    """Documented in oxidbm/__init__.pyi."""

    def __init__(self) -> None:
        self.checkpoint: str | None = None
        self.commit = 0
        self.records = 0
        self.bytes_cut = 0
        self.seconds = 0.0
        self.faults: list[str] = []

    def __repr__(self) -> str:
        return (
            f"Recovery(checkpoint={self.checkpoint!r}, commit={self.commit}, records={self.records}, "
            f"bytes_cut={self.bytes_cut}, seconds={self.seconds:.3f}, faults={self.faults})"
        )


def tell_of_recovery(life: Life, report: Recovery, made: bool) -> None:
    """Tell the logger what opening something found that had not been closed, and was not just made."""
    if made:
        return
    which = f"as of its commit {report.commit} again" if report.commit else "empty again, since nothing was committed"
    begin = f"{life.called()} had not been closed, and is {which}"
    if report.bytes_cut > 0:
        tell(WARNING, f"{begin}; the {report.bytes_cut} bytes that its log had behind that were cut off")
    else:
        tell(INFO, f"{begin}; its log had nothing behind that")


@final
class Source:
    """Where recovery begins and ends: the checkpoints that there are, and the one to stop at, if that was asked for."""

    def __init__(self, files: CheckpointFiles | None) -> None:
        self.files = files
        self.known: list[Metadata] = []  # the oldest first
        self.images = True  # False where the log is to be read from its first record on
        self.elsewhere = False  # a snapshot's log need not be put together on the store's own disk
        self.at: Metadata | None = None  # what lies behind it is not looked at
        self.rebuilt: Metadata | None = None  # a snapshot from which the log was completed

    def read_all(self, report: Recovery) -> None:
        """Read what every checkpoint says of itself; begin anew where a writer has removed one since they were listed.

        The one that takes its place may not have been there yet.
        """
        attempt = 0
        while True:
            attempt += 1
            faults: list[str] = []
            try:
                self.known = self.read_listed(faults)
            except FileNotFoundError:
                if attempt == ATTEMPTS_MAX:
                    raise
                continue
            report.faults += faults
            return

    def read_listed(self, faults: list[str]) -> list[Metadata]:
        """Return what there is, the oldest first, and say what is wrong with others."""
        known: list[Metadata] = []
        files = self.files
        if files is None:
            return known
        try:
            tokens = files.tokens()
        except FormatError as fault:
            faults.append(str(fault))
            return known
        for token in tokens:
            try:
                known.append(files.read(token))
            except (CorruptionError, FormatError) as failure:
                faults.append(str(failure))
        known.sort(key=age)  # tokens of one commit sort as it happens
        return known

    def find(self, token: str) -> Metadata:
        """Return the checkpoint of a token; MissingError, which tells a name from a token, where there is none.

        Where there is one that cannot be read, what reading it raises: CorruptionError, or FormatError for a newer one.
        """
        for metadata in self.known:
            if metadata.token == token:
                return metadata
        if self.files is not None and is_token(token):
            try:
                return self.files.read(token)
            except FileNotFoundError:
                pass
        path = "" if self.files is None else self.files.store.place(CHECKPOINTS)
        raise MissingError(2, said_of_missing(self.known, token), path)

    def chain_of(self, metadata: Metadata) -> list[Metadata]:
        """Return a snapshot and those that it builds on, the first one of all first; CorruptionError without one."""
        chain = [metadata]
        while chain[0].base is not None:
            found = [other for other in self.known if other.token == chain[0].base]
            if not found or not found[0].has_copy() or found[0].sequence >= chain[0].sequence:
                raise CorruptionError(
                    f"the checkpoint {metadata.token} builds on the snapshot {chain[0].base}, which is not there"
                )
            chain.insert(0, found[0])
        return chain


def said_of_missing(known: list[Metadata], token: str) -> str:
    """Return what is to be said where no checkpoint has a token: it may be the name of one, or of several."""
    named = [metadata.token for metadata in known if metadata.name == token]
    if len(named) == 1:
        return f"{shown_token(token)} is the name of a checkpoint and not its token, which is {named[0]}"
    if named:
        return (
            f"{shown_token(token)} is the name of {len(named)} checkpoints and no token; theirs are {', '.join(named)}"
        )
    tokens = [
        metadata.token if metadata.name is None else f"{metadata.token} with the name {shown_token(metadata.name)}"
        for metadata in known
    ]
    there = ", ".join(tokens) or "none"
    return f"there is no checkpoint of the token {shown_token(token)}; there are: {there}"


def age(metadata: Metadata) -> tuple[int, int]:
    """Return what checkpoints are put in order by: their commit, and when they were made."""
    return metadata.sequence, metadata.time_ns


def check_log_of(log: HybridLog, metadata: Metadata) -> None:
    """Raise CorruptionError where the log is not the one that a checkpoint was made of, as far as it needs one."""
    device = log.device
    place = f"{log.life.path}: the checkpoint {metadata.token}"
    check_pages_of(log, metadata)
    if metadata.has_copy() and device.end() < metadata.durable_to > FIRST_ADDRESS:
        raise CorruptionError(f"{place} needs the log up to address {metadata.durable_to}, it ends at {device.end()}")
    if metadata.begin < min(max(device.begin(), i64(FIRST_ADDRESS)), i64(metadata.log_end())):
        raise CorruptionError(f"{place} begins at address {metadata.begin}, the log only at {device.begin()}")
    found = segment_starts(device, i64(metadata.begin), i64(metadata.log_end()))
    if found != metadata.segments:
        raise CorruptionError(
            f"{place} was made of a log with segments at {metadata.segments}, which now has them at {found}"
        )


def check_pages_of(log: HybridLog, metadata: Metadata) -> None:
    """Raise CorruptionError where a checkpoint was made of a log with pages of another size."""
    if metadata.page_size is not None and metadata.page_size != log.page_bytes:
        raise CorruptionError(
            f"{log.life.path}: the checkpoint {metadata.token} was made of a log with pages of {metadata.page_size} "
            f"bytes, and the superblock says pages of {log.page_bytes}"
        )


def commit_of(log: HybridLog, metadata: Metadata) -> CommitRecord:
    """Return the commit record of a checkpoint; CorruptionError where the log is not the one that it was made of."""
    device = log.device
    place = f"{log.life.path}: the checkpoint {metadata.token}"
    check_log_of(log, metadata)
    if metadata.commit + COMMIT_RECORD_BYTES > metadata.end or metadata.end > device.end():
        raise CorruptionError(f"{place} ends at address {metadata.end}, the log at {device.end()}")
    record = read_disk(log, i64(metadata.commit))
    if record.shape != COMMIT_SHAPE or f"{int(record.seal & CHECKSUM_MASK):08x}" != metadata.commit_sum:
        raise CorruptionError(f"{place} is of another commit than the one at {device.place(i64(metadata.commit))}")
    try:
        said = decode(value_of(log, record))
    except ValueError as failure:
        raise alone(CorruptionError(f"{device.place(i64(metadata.commit))}: {failure}")) from None
    if said.log.sequence != metadata.sequence or said.log.begin != metadata.begin:
        raise CorruptionError(f"{place} says commit {metadata.sequence}, its commit record {said.log.sequence}")
    names = {state.name for state in metadata.sessions}
    if len(names) != len(metadata.sessions) or len(names) != said.sessions:
        raise CorruptionError(f"{place} has {len(names)} sessions, its commit record counted {said.sessions}")
    return said
