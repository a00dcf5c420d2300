"""What is closed beside its uses is given back by the last of them, once."""

from oxidbm._core.uses import Uses


def test_what_nobody_uses_is_given_back_by_who_closes_it() -> None:
    uses = Uses()
    assert uses.begin()
    assert not uses.end()
    assert uses.close()
    assert not uses.begin()


def test_the_last_use_gives_back_what_was_closed_meanwhile() -> None:
    uses = Uses()
    assert uses.begin()
    assert uses.begin()
    assert not uses.close()
    assert not uses.begin()
    assert not uses.end()
    assert uses.end()
