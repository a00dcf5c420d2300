"""A checkpoint: what one says of itself, and what a user holds.

A checkpoint is a commit that can be gone back to, and, unless it is of the kind "log", an image of the index at that
commit, which opening begins with in place of the log's first record. One of the kind "snapshot" has a copy of its own
of what the log had in memory alone, and an "incremental" one of what has changed in there since the one that it builds
on, whose image it shares. `checkpoints/TOKEN.json` says what it is (see checkpoint_files).
"""

import binascii
import threading
import zlib
from typing import Any, Final, final

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.cookies import COOKIE_BYTES_MAX
from oxidbm._core.device.directory import IMAGE_SUFFIX, SNAPSHOT_SUFFIX
from oxidbm._core.durability.compression import LEVEL
from oxidbm._core.durability.serials import SessionState
from oxidbm._core.durability.session_record import SERIAL_MAX
from oxidbm._core.errors import CorruptionError, FormatError, alone
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.log.record import KEY_LENGTH_MAX
from oxidbm._core.seconds import checked_timeout, to_wait

FOLD_OVER: Final = "fold-over"
SNAPSHOT: Final = "snapshot"
INCREMENTAL: Final = "incremental"
INDEX_ONLY: Final = "index"
LOG_ONLY: Final = "log"
KINDS: Final = (FOLD_OVER, SNAPSHOT, INCREMENTAL, INDEX_ONLY, LOG_ONLY)
CHECKPOINT_VERSION: Final = 1
METADATA_BYTES_MAX: Final = 1 << 30
CHECKPOINT_NAME_MAX: Final = 1024  # characters
NANOSECONDS: Final = 1e9
NUMBER_MAX: Final = 1 << 62
MESSAGE_MAX: Final = 200  # of what may be a list of a million
COOKIE_SHOWN: Final = 32  # bytes of one where a checkpoint is shown
NUMBERS: Final = ("sequence", "commit", "begin", "end", "time_ns", "image_bytes", "raw_bytes", "entries")
SNAPSHOT_NUMBERS: Final = ("copied_from", "copied_to", "previous", "durable_to", "snapshot_bytes", "snapshot_raw_bytes")
WORDS: Final = ("token", "kind", "store_id", "image_sum", "commit_sum")


@final
class Metadata:
    """What a checkpoint's file says."""

    def __init__(self, kind: str, token: str, store_id: str) -> None:
        self.kind = kind
        self.token = token
        self.store_id = store_id
        self.name: str | None = None
        self.cookie: bytes | None = None
        self.level = LEVEL  # that its files are written with, which it does not say
        self.automatic = False
        self.sequence = 0  # of its commit, as are the next four
        self.commit = 0
        self.commit_sum = ""
        self.begin = 0
        self.end = 0
        self.time_ns = 0
        self.image_bytes = 0
        self.raw_bytes = 0
        self.image_sum = ""
        self.entries = 0
        self.expiring = False
        self.page_size: int | None = None  # None where the file is of a release that did not say it
        self.segments: list[int] = []  # where the log's segments start, from the one that holds begin on
        self.sessions: list[SessionState] = []
        self.base: str | None = None  # the checkpoint that an incremental one builds on
        self.copied_from = 0  # of a snapshot, as are the next six
        self.copied_to = 0
        self.previous = 0
        self.durable_to = 0
        self.snapshot_bytes = 0
        self.snapshot_raw_bytes = 0
        self.snapshot_sum = ""
        self.previous_sum = ""

    def has_image(self) -> bool:
        """Return whether there is an image of the index, be it one that it shares."""
        return self.kind != LOG_ONLY

    def has_copy(self) -> bool:
        """Return whether a part of its log stands in a file of its own."""
        return self.snapshot_bytes > 0

    def log_end(self) -> int:
        """Return up to where it needs the log; 0 where all of that is in its copy."""
        if not self.has_copy():
            return self.end
        return self.copied_from if self.copied_from > FIRST_ADDRESS else 0

    def is_state(self) -> bool:
        """Return whether the store can be brought back to it."""
        return self.kind != INDEX_ONLY

    def image_name(self) -> str:
        """Return the name of the image's file."""
        return self.token + IMAGE_SUFFIX

    def snapshot_name(self) -> str:
        """Return the name of the file of what it has of the log."""
        return self.token + SNAPSHOT_SUFFIX

    def said(self) -> dict[str, Any]:
        """Return what the file says, without its checksum."""
        said: dict[str, Any] = {"format_version": CHECKPOINT_VERSION, "name": self.name}
        said["cookie"] = None if self.cookie is None else encode_cookie(self.cookie)
        said["automatic"] = self.automatic
        for field in (*WORDS, *NUMBERS):
            said[field] = getattr(self, field)
        if self.kind in (SNAPSHOT, INCREMENTAL):
            for field in ("base", "snapshot_sum", "previous_sum", *SNAPSHOT_NUMBERS):
                said[field] = getattr(self, field)
        said["expiring"] = self.expiring
        said["page_size"] = self.page_size
        said["segments"] = self.segments
        said["sessions"] = [
            {
                "name": state.name,
                "serial": int(state.serial),
                "used_ns": int(state.used_ns),
                "address": int(state.address),
            }
            for state in self.sessions
        ]
        return said


def sum_of(said: dict[str, Any]) -> str:
    """Return the checksum of what a checkpoint's file says, however that is written."""
    import json

    return f"{zlib.crc32(json.dumps(said, sort_keys=True, separators=(',', ':')).encode()):08x}"


def encode_metadata(metadata: Metadata) -> bytes:
    """Return the bytes of a checkpoint's file."""
    import json

    said = metadata.said()
    said["checksum"] = sum_of(said)
    return json.dumps(said, indent=1).encode() + b"\n"


def decode_metadata(place: str, data: bytes) -> Metadata:
    """Return what a checkpoint's file says; CorruptionError, or FormatError for a newer one."""
    import json

    try:
        said: Any = json.loads(data)
        if not isinstance(said, dict):
            raise ValueError("no object")
        version = number_in(said["format_version"], "format_version")
        if version > CHECKPOINT_VERSION:
            raise FormatError(
                f"{place} says format version {version}; this release reads {CHECKPOINT_VERSION}. Upgrade oxidbm to "
                "use it"
            )
        wanted = said.pop("checksum", None)
        if wanted != sum_of(said):
            raise ValueError(f"its checksum {wanted!r} does not match what it says")
        if version != CHECKPOINT_VERSION:
            raise ValueError(f"format_version is {version}")
        return metadata_of(said)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as failure:
        if came_from_handler(failure):
            raise
        raise alone(CorruptionError(f"{place} is not what was written: {failure}")) from None


def number_in(number: object, what: str) -> int:
    """Return a number of a checkpoint's file; ValueError for anything that is none of those that can be written."""
    if type(number) is not int or not 0 <= number < NUMBER_MAX:
        raise ValueError(f"{what} is {number!r}"[:MESSAGE_MAX])
    return number


def encode_cookie(cookie: bytes) -> str:
    """Return a cookie as a checkpoint's file says it."""
    return binascii.b2a_base64(cookie, newline=False).decode()


def decode_cookie(said: object) -> bytes | None:
    """Return a cookie that a checkpoint's file says; ValueError for anything that is none that can be written."""
    if said is None:  # also in a file of before there were cookies
        return None
    if type(said) is not str or not said.isascii():
        raise ValueError(f"cookie is {said!r}"[:MESSAGE_MAX])
    cookie = binascii.a2b_base64(said)
    if len(cookie) > COOKIE_BYTES_MAX or encode_cookie(cookie) != said:
        raise ValueError(f"cookie is {said!r}"[:MESSAGE_MAX])
    return cookie


def shown_cookie(cookie: bytes) -> str:
    """Return a cookie as a literal, of a long one the beginning."""
    return repr(cookie[:COOKIE_SHOWN]) + ("..." if len(cookie) > COOKIE_SHOWN else "")


def metadata_of(said: dict[str, Any]) -> Metadata:
    """Return what a checkpoint's file says, whose checksum holds."""
    for field in WORDS:
        if type(said[field]) is not str:
            raise ValueError(f"{field} is {said[field]!r}")
    metadata = Metadata(said["kind"], said["token"], said["store_id"])
    for field in NUMBERS:
        setattr(metadata, field, number_in(said[field], field))
    for field in ("automatic", "expiring"):
        if type(said[field]) is not bool:
            raise ValueError(f"{field} is {said[field]!r}")
    name = said["name"]
    if name is not None and type(name) is not str:
        raise ValueError(f"name is {name!r}")
    metadata.name = name
    metadata.cookie = decode_cookie(said.get("cookie"))
    metadata.automatic = said["automatic"]
    metadata.image_sum = said["image_sum"]
    metadata.commit_sum = said["commit_sum"]
    metadata.expiring = said["expiring"]
    if "page_size" in said:
        metadata.page_size = number_in(said["page_size"], "page_size")
    if metadata.kind not in KINDS:
        raise ValueError(f"the kind {metadata.kind!r} is unknown")
    if metadata.kind in (SNAPSHOT, INCREMENTAL):
        take_snapshot(metadata, said)
    for start in said["segments"]:
        metadata.segments.append(number_in(start, "a segment's start"))
    for session in said["sessions"]:
        if type(session["name"]) is not str:
            raise ValueError(f"a session's name is {session['name']!r}"[:MESSAGE_MAX])
        if len(session["name"].encode()) > KEY_LENGTH_MAX:  # a surrogate is a ValueError
            raise ValueError(f"a session's name of {len(session['name'])} characters")
        for field in ("serial", "used_ns", "address"):
            number_in(session[field], f"a session's {field}")
        state = SessionState(session["name"], session["serial"], session["used_ns"])
        state.address = session["address"]
        if not 0 <= state.serial <= SERIAL_MAX or not metadata.begin <= state.address < metadata.end:
            raise ValueError(f"a session has the serial {state.serial} and stands at {state.address}")
        metadata.sessions.append(state)
    return metadata


def take_snapshot(metadata: Metadata, said: dict[str, Any]) -> None:
    """Take over what a checkpoint's file says of a copy of the log."""
    for field in SNAPSHOT_NUMBERS:
        setattr(metadata, field, number_in(said[field], field))
    base = said["base"]
    sums = said["snapshot_sum"], said["previous_sum"]
    if type(sums[0]) is not str or type(sums[1]) is not str or (base is not None and type(base) is not str):
        raise ValueError(f"base, snapshot_sum and previous_sum are {base!r} and {sums}"[:MESSAGE_MAX])
    metadata.base = base
    metadata.snapshot_sum, metadata.previous_sum = sums
    if (base is not None) != (metadata.kind == INCREMENTAL):
        raise ValueError(f"a checkpoint of the kind {metadata.kind!r} that builds on {base!r}"[:MESSAGE_MAX])
    places = (0, metadata.copied_from, metadata.copied_to, metadata.commit, metadata.end, NUMBER_MAX)
    if metadata.has_copy() and (list(places) != sorted(places) or metadata.durable_to > metadata.copied_to):
        raise ValueError(f"a copy of [{metadata.copied_from}, {metadata.copied_to}) before {metadata.commit}")
    if metadata.previous_sum and not 0 < metadata.previous < metadata.durable_to:
        raise ValueError(f"a durable commit at {metadata.previous}, in a log durable up to {metadata.durable_to}")
    if base is not None and not metadata.has_copy():
        raise ValueError(f"nothing that it adds to {base!r}"[:MESSAGE_MAX])


@final
class Checkpoint:
    """Documented in oxidbm/__init__.pyi."""

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self.failure: BaseException | None = None
        self.unwanted: BaseException | None = None  # why nobody waits for it any more
        self.finished = False
        self.running = threading.Lock()  # held until it is there, or has failed

    @property
    def token(self) -> str:
        """What names it for ever."""
        return self.metadata.token

    @property
    def kind(self) -> str:
        """What it holds."""
        return self.metadata.kind

    @property
    def base(self) -> str | None:
        """The token of the one that it builds on."""
        return self.metadata.base

    @property
    def name(self) -> str | None:
        """The name it was given."""
        return self.metadata.name

    @property
    def cookie(self) -> bytes | None:
        """What it was given to keep."""
        return self.metadata.cookie

    @property
    def automatic(self) -> bool:
        """Whether the store made it by itself, and removes it with the next one."""
        return self.metadata.automatic

    @property
    def time(self) -> float:
        """When it was made, in seconds since 1970."""
        return float(self.metadata.time_ns) / NANOSECONDS

    @property
    def bytes(self) -> int:
        """The bytes of its own files but for the one that says what it is."""
        return self.metadata.image_bytes + self.metadata.snapshot_bytes

    @property
    def commit(self) -> int:
        """The number of the commit that it brings back."""
        return self.metadata.sequence

    @property
    def begin(self) -> int:
        """The address from which on it needs the log."""
        return self.metadata.begin

    @property
    def end(self) -> int:
        """The address at which its log ends."""
        return self.metadata.end

    def done(self) -> bool:
        """Return whether it is there, or has failed."""
        return self.finished

    def result(self, timeout: object = None) -> "Checkpoint":
        """Return the checkpoint once it is there; raise what kept it from that, TimeoutError after so many seconds."""
        seconds = checked_timeout(timeout)
        if not self.finished and self.running.acquire(True, to_wait(seconds)):
            self.running.release()
        if not self.finished:
            raise TimeoutError(f"the checkpoint is not there after {timeout} seconds; it is still being made")
        if self.failure is not None:
            raise self.failure
        return self

    def finish(self, failure: BaseException | None) -> None:
        """Let those go on who wait for it."""
        self.failure = failure
        self.finished = True
        if self.running.locked():
            self.running.release()

    def __repr__(self) -> str:
        cookie = "" if self.cookie is None else f"cookie={shown_cookie(self.cookie)}, "
        return (
            f"Checkpoint(token={self.token!r}, kind={self.kind!r}, base={self.base!r}, name={self.name!r}, "
            f"{cookie}automatic={self.automatic}, time={self.time}, bytes={self.bytes}, commit={self.commit}, "
            f"begin={self.begin}, end={self.end})"
        )
