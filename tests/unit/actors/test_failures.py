"""Failures: every exception, however broken, becomes an ErrorInfo that can be recorded."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.errors import ErrorInfo, FatalError
from jetrun.actors.failures import error_info
from jetrun.actors.limits import ERROR_TEXT_BYTES_MAX, TRACEBACK_BYTES_MAX


class OutOfStock(LookupError):
    pass


class Silent(Exception):
    def __str__(self) -> str:
        raise OutOfStock("no text")


def five(_: object) -> int:
    return 5


def no_notes(_: object) -> list[str]:
    raise OutOfStock("no notes")


# User code does what no type checker would let pass.
Wordless = type("Wordless", (Exception,), {"__str__": five})
Noted = type("Noted", (Exception,), {"__notes__": property(no_notes)})


class Mixin:
    pass


class Mixed(Mixin, OutOfStock, FatalError):
    pass


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def check(info: ErrorInfo) -> ErrorInfo:
    assert len(info.message.encode()) <= ERROR_TEXT_BYTES_MAX
    assert len(info.traceback.encode()) <= TRACEBACK_BYTES_MAX
    assert msgspec.json.decode(msgspec.json.encode(info), type=ErrorInfo) == info
    return info


def test_an_exception_is_described() -> None:
    """Type and bases by qualified name, message, and a traceback that leads to the line."""
    info = check(error_info(raised(OutOfStock("no more"))))

    assert info.type == f"{__name__}.OutOfStock"
    assert info.message == "no more"
    assert info.bases == ["LookupError", "Exception"]
    assert info.code == ""
    assert info.traceback.startswith("Traceback (most recent call last):\n")
    assert "raise error" in info.traceback
    assert info.traceback.endswith("OutOfStock: no more\n")


@pytest.mark.parametrize(
    ("error", "type_", "bases"),
    [
        (SystemExit(3), "SystemExit", []),
        (KeyboardInterrupt(), "KeyboardInterrupt", []),
        (ExceptionGroup("g", [ValueError("a")]), "ExceptionGroup", ["BaseExceptionGroup", "Exception"]),
        (
            Mixed("x"),
            f"{__name__}.Mixed",
            [
                f"{__name__}.OutOfStock",
                "LookupError",
                *(f"jetrun.actors.errors.{n}" for n in ("FatalError", "JetrunError")),
                "Exception",
            ],
        ),
    ],
    ids=repr,
)
def test_bases_are_exceptions(error: BaseException, type_: str, bases: list[str]) -> None:
    """What a policy's `non_retryable` is compared with; nothing above `Exception`."""
    info = check(error_info(raised(error)))

    assert info.type == type_
    assert info.bases == bases


@pytest.mark.parametrize("error", [Silent(), Wordless(), Noted("x")], ids=["raises", "no text", "notes raise"])
def test_exceptions_that_cannot_show_themselves(error: Exception) -> None:
    """The failure is recorded all the same."""
    info = check(error_info(raised(error)))

    assert info.message
    assert "raise error" in info.traceback


def test_groups_show_their_members() -> None:
    """A TaskGroup's failure names what failed in it."""
    info = check(error_info(raised(BaseExceptionGroup("two", [raised(OutOfStock("a")), raised(ValueError("b"))]))))

    assert "OutOfStock: a" in info.traceback
    assert "ValueError: b" in info.traceback


def deep_group(levels: int) -> Exception:
    error: Exception = ValueError("deep")
    for _ in range(levels):
        members: list[Exception] = [error]
        error = ExceptionGroup("g", members)
    return error


def long_chain(count: int) -> Exception:
    error = ValueError("first")
    for n in range(count):
        following = ValueError(f"cause {n}")
        following.__cause__ = error
        error = following
    return error


def ring() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


@pytest.mark.parametrize("error", [deep_group(3000), long_chain(3000), ring()], ids=["groups", "causes", "ring"])
def test_endless_families_end(error: Exception) -> None:
    """Neither recursion nor size gets out of hand."""
    check(error_info(raised(error)))


def dig(levels: int) -> None:
    if levels:
        dig(levels - 1)
    raise OutOfStock("x" * 100_000 + "é" * 100_000 + "the end")


def test_long_texts_are_cut() -> None:
    """A message keeps its beginning, a traceback its end; both say that they were cut."""
    error = raised(ValueError(""))
    try:
        dig(50)
    except OutOfStock as caught:
        error = caught

    info = check(error_info(error))

    assert info.message.startswith("xxxx")
    assert info.message.endswith("… (300007 bytes)")
    assert info.traceback.startswith("… (the end of ")
    assert info.traceback.endswith("the end\n")


def test_a_cut_traceback_starts_with_a_whole_line() -> None:
    """Frames, not halves of them."""
    scope: dict[str, object] = {}
    lines = "\n".join(f"def f{n}():\n    f{n - 1}()" for n in range(1, 400))
    exec(f"def f0():\n    raise ValueError('x')\n{lines}", scope)
    function = scope["f399"]
    assert callable(function)
    try:
        function()
    except ValueError as caught:
        info = check(error_info(caught))
    else:
        raise AssertionError

    assert info.traceback.splitlines()[1].startswith("  File ")
    assert info.traceback.endswith("in f0\nValueError: x\n")


@given(st.text(st.characters(), max_size=10_000))
def test_any_text_becomes_utf8(text: str) -> None:
    """Lone surrogates (file names, for example) included."""
    info = check(error_info(ValueError(text)))

    if text.isascii() and len(text) <= ERROR_TEXT_BYTES_MAX:
        assert info.message == text


def test_surrogates_are_spelled_out() -> None:
    """Nothing is lost that a reader may need."""
    assert error_info(ValueError("a\udc80b")).message == "a\\udc80b"
