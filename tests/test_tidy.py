"""The rules of the code that matter, each as a test; a rule that cannot fail is no rule, so each has a bad example.

A rule is a function from sources to faults, lines of text that name file, line and what is wrong. The rules stand in
tests/tidy/, each module with its examples: bad ones with one fault each, and good ones with none.
"""

import functools

import pytest

from tests.tidy import compiled, dead, imports, names, text
from tests.tidy.sources import CORE, Check, Sources, text_sources

pytestmark = pytest.mark.compiled_only("the texts are the same in both modes")

# Rules that oxidbm/_core does not keep yet. One that it does keep has no place here: its test fails then.
CORE_LATER: set[str] = set()

MODULES = (imports, compiled, dead, text, names)
RULES: list[Check] = [value for module in MODULES for name, value in vars(module).items() if name.startswith("check_")]
BAD = [example for module in MODULES for example in module.BAD]
GOOD = [example for module in MODULES for example in module.GOOD]


@functools.cache
def faults(check: Check) -> list[str]:
    """Return the faults of the project."""
    sources = text_sources()
    assert sources
    return check(sources)


def in_core(check: Check) -> object:
    """Return the rule as the argument of a test of the core, which is expected to fail where the core is not ready."""
    marks = [pytest.mark.xfail(reason="the core is not ready", strict=True)] if check.__name__ in CORE_LATER else []
    return pytest.param(check, id=check.__name__, marks=marks)


@pytest.mark.parametrize("check", RULES, ids=[check.__name__ for check in RULES])
def test_the_project_keeps_the_rule(check: Check) -> None:
    assert [fault for fault in faults(check) if not fault.startswith(CORE)] == []


@pytest.mark.parametrize("check", [in_core(check) for check in RULES])
def test_the_core_keeps_the_rule(check: Check) -> None:
    assert [fault for fault in faults(check) if fault.startswith(CORE)] == []


def test_every_rule_has_examples_and_is_named_once() -> None:
    named = {check.__name__ for check in RULES}
    assert len(named) == len(RULES)
    assert named == {check.__name__ for check, _ in BAD} == {check.__name__ for check, _ in GOOD}
    assert named >= CORE_LATER


@pytest.mark.parametrize(("check", "sources"), BAD)
def test_a_rule_finds_what_it_forbids(check: Check, sources: Sources) -> None:
    assert len(check(sources)) == 1


@pytest.mark.parametrize(("check", "sources"), GOOD)
def test_a_rule_lets_the_rest_pass(check: Check, sources: Sources) -> None:
    assert check(sources) == []
