"""Keys and values at the API's edge: whatever the caller gives becomes `bytes` here, or an error that names it."""

from mypy_extensions import i64

from oxidbm._buffers import bytes_of
from oxidbm._core.arguments import number_of, shown
from oxidbm._core.coder import CALLED, INT, PLAIN
from oxidbm._core.durability.checkpoint import CHECKPOINT_NAME_MAX, Checkpoint
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.log.record import HEADER_BYTES, KEY_LENGTH_MAX, VALUE_LENGTH_MAX
from oxidbm._core.seconds import EXPIRE_SECONDS_MAX
from oxidbm._core.store.handle import Handle


def to_key(handle: Handle, key: object) -> bytes:
    """Return a key as bytes: bytes as they are, str as UTF-8, buffers of bytes copied; TypeError for others.

    A store with a codec for keys takes what that takes.
    """
    if handle.coders.typed and handle.coders.key.kind != PLAIN:
        data = handle.coders.key.encode(key)
    elif isinstance(key, bytes):
        data = key
    elif isinstance(key, str):
        data = key.encode()
    else:
        copied = bytes_of(key, single=True)
        if copied is None:
            raise TypeError(f"keys are bytes or str, not {type(key).__name__}")
        data = copied
    if len(data) > KEY_LENGTH_MAX:
        raise ValueError(f"a key of {len(data)} bytes is too long: at most {KEY_LENGTH_MAX} are possible")
    return data


def to_key_or_none(handle: Handle, key: object) -> bytes | None:
    """As `to_key`; None for what cannot be a key of a typed store, so that nothing is found, as in a dict."""
    if not handle.coders.typed or handle.coders.key.kind == PLAIN:
        return to_key(handle, key)
    try:
        return to_key(handle, key)
    except (TypeError, ValueError, OverflowError) as failure:
        if came_from_handler(failure):
            raise
        return None


def tell_key(failure: Exception, key: object) -> None:
    """Have what a key or its value was refused with, in a call of many, say which key that is."""
    if came_from_handler(failure):
        return
    words = f"the key is {shown(key)}"
    if type(failure) in (TypeError, ValueError, OverflowError):
        failure.args = (f"{failure}; {words}",)  # not another error, which would hide where this one is from
    else:  # as UnicodeEncodeError, whose text is made of its parts
        failure.add_note(words)


def to_value(handle: Handle, key: bytes, value: object) -> bytes:
    """Return a value as bytes; TypeError for other types, ValueError where the record cannot fit format or memory."""
    if handle.coders.typed and handle.coders.value.kind != PLAIN:
        data = handle.coders.value.encode(value)
    elif isinstance(value, bytes):
        data = value
    elif isinstance(value, str):
        data = value.encode()
    elif isinstance(value, bytearray):
        data = bytes(value)
    else:
        copied = bytes_of(value)
        if copied is None:
            raise TypeError(f"values are bytes or str, not {type(value).__name__}")
        data = copied
    size: i64 = len(data)
    if size > handle.table.value_limit:
        raise too_large(handle, len(key), size)
    return data


def to_prefix(handle: Handle, prefix: object) -> bytes:
    """Return what the bytes of all keys with a prefix begin with; TypeError where the keys' codec has no prefixes.

    A codec of str and bytes has them, and one with a method `encode_prefix`.
    """
    coder = handle.coders.key
    if coder.prefixer is not None:
        return coder.prefixer(prefix)
    if coder.kind == INT or coder.kind == CALLED:
        raise TypeError(f"the codec {coder.name!r} of the store's keys has no prefixes; use range()")
    return to_key(handle, prefix)


def to_bound(handle: Handle, key: object) -> bytes:
    """Return where a key stands in the order of the bytes; a codec with prefixes takes the first parts of a key too."""
    prefixer = handle.coders.key.prefixer
    return to_key(handle, key) if prefixer is None else prefixer(key)


def to_name(name: str | None) -> str | None:
    """Return what a checkpoint is to be called; ValueError for what is too long to be read at each opening."""
    if name is not None and len(name) > CHECKPOINT_NAME_MAX:
        raise ValueError(
            f"a checkpoint's name of {len(name)} characters is too long, {CHECKPOINT_NAME_MAX} are the most; cookie= "
            "keeps more"
        )
    return name


def to_token(what: str, checkpoint: object) -> str | None:
    """Return the token of a checkpoint, given by it or as itself; None for none, TypeError for anything else."""
    if isinstance(checkpoint, Checkpoint):
        if not checkpoint.done():
            raise ValueError(f"{what} is a checkpoint that is still being made; wait for its result()")
        return checkpoint.token
    if checkpoint is None or isinstance(checkpoint, str):
        return checkpoint
    raise TypeError(f"{what} is a Checkpoint or its token, a str, not {type(checkpoint).__name__}")


def expiry_at(handle: Handle, expire: object) -> i64:
    """Return when a key that lives for `expire` seconds from now expires, in milliseconds since 1970; 0 for None."""
    if expire is None:
        return 0
    seconds = number_of(expire)
    if seconds is None:
        raise TypeError(f"expire is a number of seconds, a timedelta or None, not {type(expire).__name__}")
    if not 0 < seconds < EXPIRE_SECONDS_MAX:  # as it is: float() of a very large int is another error
        raise ValueError(f"expire is a number of seconds above 0 and below {EXPIRE_SECONDS_MAX:g}, not {expire}")
    return handle.table.now_ms() + max(i64(int(float(seconds) * 1000.0)), i64(1))


def too_large(handle: Handle, key_length: i64, size: i64) -> ValueError:
    """Return the error for a record that does not fit, with both numbers."""
    if size > VALUE_LENGTH_MAX:
        return ValueError(f"a value of {size} bytes is too long: at most {VALUE_LENGTH_MAX} are possible")
    record = HEADER_BYTES + key_length + size
    limit = handle.table.log.budget.limit // 2
    return ValueError(
        f"a record of {record} bytes does not fit: half of the memory budget, {limit} bytes, is the most one may take. "
        "Open the store with a larger memory="
    )
