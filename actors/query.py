"""Queries: typed questions about a run, answered by a function of its own code that reads and changes nothing.

Nothing of a query is in the log. It is asked of a run that is loaded, between two decisions, or of one that has ended,
whose log is replayed for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

import msgspec

from .asking import Asked, Handler, open_signature, signature_of
from .errors import BadMessage, DefinitionError, ErrorInfo, InvalidValue, ReadOnly
from .execution import Execution
from .failures import error_info
from .limits import EARLY_KEEP_US, QUERY_BYTES_MAX
from .messages import NO_ARGS, OptionalRaw, check_depth, check_json
from .names import RunKey, check_token
from .primitives import execution_of as running_execution
from .reading import reading
from .records import Record
from .replay import Code, Replay
from .taking import desk_of
from .values import Signature
from .workflow import Workflow

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


class QueryCall(Asked[R_co]):
    """A query with its arguments: what `RunHandle.query` takes."""

    __slots__ = ()

    def call(self) -> QueryCall[R_co]:
        """Returns itself: what can be called without arguments can be asked."""
        return self


class Askable(Protocol[R_co]):
    """A query with its arguments, or the definition of one that needs none."""

    def call(self) -> QueryCall[R_co]:
        """Binds no arguments."""
        ...


class QueryDefinition(Generic[P, R]):
    """A query by its name and types; made by `define_query`."""

    def __init__(self, name: str, signature: Signature, *, is_open: bool = False) -> None:
        self.name = name
        self._signature = signature
        self._is_open = is_open

    def handler(self, function: Callable[P, R], /) -> Callable[P, R]:
        """Has a function of the workflow answer, from now on until the run is forgotten; the last one counts.

        It reads what the workflow has, returns at once, and changes nothing: `now` and `info` work in it, steps, timers,
        tasks, random numbers and `set_status` do not (`ReadOnly`). It is called at any time between two decisions, and
        after the end.

        Raises:
            DefinitionError: It is an `async def`.
            NotInWorkflow: No workflow is running.
        """
        execution = running_execution(f"the handler of query {self.name!r}")
        if inspect.iscoroutinefunction(function):
            raise DefinitionError(
                f"the handler of query {self.name!r} is an `async def`; a query reads and cannot wait"
            )
        what = f"query {self.name}"
        signature = Signature.of(function, what=what) if self._is_open else self._signature
        desk_of(execution).queries[self.name] = Handler(function, signature)
        return function

    def call(self, *args: P.args, **kwargs: P.kwargs) -> QueryCall[R]:
        """Binds arguments for `RunHandle.query`.

        Raises:
            InvalidValue: An argument is missing, unexpected, or cannot become JSON; names the parameter.
        """
        packed = self._signature.pack(args, kwargs)
        return QueryCall(self.name, packed, self._signature.result_type)

    def __repr__(self) -> str:
        return f"<query {self.name!r}>"


@overload
def define_query(function: Callable[P, R], /) -> QueryDefinition[P, R]: ...
@overload
def define_query(name: str, /) -> QueryDefinition[..., Any]: ...
@overload
def define_query(name: str, /, *, returns: type[T]) -> QueryDefinition[[], T]: ...
@overload
def define_query(name: str, a: type[A], /, *, returns: type[T]) -> QueryDefinition[[A], T]: ...
@overload
def define_query(name: str, a: type[A], b: type[B], /, *, returns: type[T]) -> QueryDefinition[[A, B], T]: ...
def define_query(what: Callable[..., Any] | str, /, *types: Any, returns: Any = None) -> QueryDefinition[..., Any]:
    """Defines a query, at module level, for the workflow's side and the client's: `define_query("progress", returns=Progress)`.

    With arguments: `define_query("find", str, returns=Item)`, or as a decorator of a function that says names, types and
    defaults, and is never called. By name alone, `define_query("progress")`, everything is plain JSON.

    Raises:
        DefinitionError: No JSON can fit a type.
        InvalidName: The name cannot be a token.
    """
    if not isinstance(what, str):
        name = check_token("query name", what.__name__)
        return QueryDefinition(name, Signature.of(what, what=f"query {name}"))
    if not types and returns is None:
        return QueryDefinition(what, open_signature("query", what), is_open=True)
    return QueryDefinition(what, signature_of("query", what, types, returns))


# --- answering ----------------------------------------------------------------------------------


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of a query on the wire."""

    args: msgspec.Raw = NO_ARGS
    kwargs: OptionalRaw = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a query on the wire: a result or an error."""

    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorInfo | msgspec.UnsetType = msgspec.UNSET


class Given(msgspec.Struct, frozen=True):
    """A reply, and whether the run's execution is still as it was."""

    reply: Reply
    is_intact: bool = True


_QUESTION = msgspec.json.Decoder(Question)


def decode_question(raw: bytes) -> Question:
    """Reads a query's body strictly; an empty one asks without arguments.

    Raises:
        BadMessage: With one of `DEAD_CODES`.
    """
    if not raw:
        return Question()
    if len(raw) > QUERY_BYTES_MAX:
        raise BadMessage("size", f"body of {len(raw)} bytes; at most {QUERY_BYTES_MAX}")
    try:
        check_json(raw)
        check_depth(raw)
        return _QUESTION.decode(raw)
    except msgspec.ValidationError as error:
        raise BadMessage("schema", f"query: {error}") from error
    except (ValueError, RecursionError) as error:
        raise BadMessage("json", f"query: {error}; send one JSON object, for example {{}}") from error


def failed(code: str, message: str) -> Reply:
    """Makes the reply that says why there is no answer."""
    return Reply(error=ErrorInfo(type="QueryFailed", message=message, code=code))


def answer(execution: Execution, name: str, question: Question) -> Given:
    """Asks a run's code. Never raises what that raises; `Blocked` alone leaves it, from the watchdog."""
    queries = execution.desk.queries if execution.desk is not None else {}
    handler = queries.get(name)
    if handler is None:
        known = ", ".join(sorted(queries)) or "none"
        return Given(failed("unknown_query", f"the run has no handler of query {name!r}; it has: {known}"))
    code = "args"
    with reading(execution, f"query {name!r}") as reader:
        try:
            args, kwargs = handler.signature.unpack(question.args, question.kwargs)
            code = "failed"
            value = handler.function(*args, **kwargs)
            code = "result"
            raw = handler.signature.pack_result(value)
            reply = Reply(result=msgspec.Raw(raw))
            if len(raw) > QUERY_BYTES_MAX:
                text = f"the result of query {name!r} has {len(raw)} bytes; at most {QUERY_BYTES_MAX}: answer with less"
                reply = failed("size", text)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001  # user code; the worker lives
            if isinstance(error, ReadOnly):
                code = "read_only"
            elif code == "result" and not isinstance(error, InvalidValue):
                code = "failed"
            reply = Reply(error=msgspec.structs.replace(error_info(error), code=code))
    return Given(reply, is_intact=not reader.is_broken)


class Revival:
    """A run that has ended, brought back to where its code came to, for queries alone.

    Args:
        log: All its records.
    """

    def __init__(
        self,
        app: str,
        key: RunKey,
        workflow: Workflow[..., Any],
        log: Sequence[Record],
        older: Mapping[int, Workflow[..., Any]],
    ) -> None:
        self.key = key
        self._older = older
        self._app = app
        self._workflow = workflow
        self._log = log
        self._execution: Execution | None = None

    def replay(self, objects: Mapping[str, bytes]) -> Iterator[None]:
        """Replays, yielding between decisions so that the caller can yield to others. Raises as `replay.verify` does."""
        code = Code(workflow=self._workflow, app=self._app, key=self.key, hold=self._hold, older=self._older)
        yield from Replay(self._log, code, objects, EARLY_KEEP_US).run()

    def answer(self, name: str, question: Question) -> Given:
        """Asks the code as it stands."""
        if self._execution is None:
            return Given(failed("unknown_query", "the run has ended before its code began"))
        return answer(self._execution, name, question)

    def close(self) -> None:
        """Drops the code. Idempotent."""
        if self._execution is not None:
            self._execution.kill()
            self._execution = None

    def _hold(self, execution: Execution | None) -> None:
        self._execution = execution
