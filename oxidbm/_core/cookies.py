"""Cookies: bytes of the caller's own that a checkpoint, or a log's commit, keeps for it."""

from typing import Final

from oxidbm._buffers import bytes_of

COOKIE_BYTES_MAX: Final = 1 << 16


def to_cookie(cookie: object, keeper: str) -> bytes | None:
    """Return a cookie as bytes, as values of a store of bytes are; None for none. `keeper` is what keeps it."""
    if cookie is None or isinstance(cookie, bytes):
        data = cookie
    elif isinstance(cookie, str):
        data = cookie.encode()
    else:
        data = bytes_of(cookie)
        if data is None:
            raise TypeError(f"a cookie is bytes or str, not {type(cookie).__name__}")
    if data is not None and len(data) > COOKIE_BYTES_MAX:
        raise ValueError(
            f"a cookie of {len(data)} bytes is too long: a {keeper} keeps at most {COOKIE_BYTES_MAX}. Keep more as "
            "data of its own"
        )
    return data
