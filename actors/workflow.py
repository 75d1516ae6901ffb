"""Workflows: deterministic orchestration code, and the typed calls that start it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from hashlib import blake2b
from types import CodeType, FunctionType, MappingProxyType
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast, overload

import msgspec

from .body import Body, body_of
from .durations import Duration, duration_us
from .errors import DefinitionError, InvalidName, InvalidValue
from .host import refuse_in_body
from .limits import RECORDS_MAX, RECORDS_WARN, WORKFLOW_TAG_CHARACTERS_MAX, WORKFLOW_TAGS_MAX, WORKFLOW_VERSION_MAX
from .loop import running_loop
from .names import check_token
from .recovery import Recovery
from .retry import RetryDelay, RetryPolicy
from .schedule import AUTO_PREFIX, Schedule, check_schedule_id
from .schedule_times import ScheduleSpec
from .stand_ins import adopt_globals
from .step import Step
from .values import Signature, encode

ENGINE_PREFIX: Final = "jetrun-"
"""Begins the names of the engine's own workflows."""

P = ParamSpec("P")
R = TypeVar("R")


class Call(Generic[R]):
    """A workflow's name with its arguments, encoded: what a client starts. `R` is the result's type."""

    __slots__ = ("args", "kwargs", "result_type", "workflow")

    def __init__(self, workflow: str, args: bytes, kwargs: bytes | None, result_type: Any) -> None:
        self.workflow = workflow
        self.args = args
        self.kwargs = kwargs
        self.result_type: Any = result_type

    def __repr__(self) -> str:
        return f"<call of workflow {self.workflow!r}>"


class WorkflowOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `@workflow(...)` was given, checked."""

    max_duration_us: int = 0
    """0 for no limit."""
    records_warn: int = RECORDS_WARN
    records_max: int = RECORDS_MAX
    retry: RetryPolicy | None = None
    """When a run that has failed is tried again; None for never."""
    recovery: Recovery | None = None
    """Of its steps that do not say otherwise, or of the body."""
    tags: tuple[str, ...] = ()
    version: int = 1
    schedule: Schedule | None = None
    """Actor workers create it when they start."""


class Workflow(Generic[P, R]):
    """A registered workflow. `call(...)` makes what a client starts. Called in a workflow it runs as a child; elsewhere it is the
    plain function, also in a workflow with `durable=False`, which takes another such one into its body.
    """

    def __init__(
        self,
        function: Callable[P, Coroutine[Any, Any, R]],
        *,
        name: str,
        options: WorkflowOptions,
        body: Body[P, R] | None = None,
    ) -> None:
        self.function = function
        self.name = name
        self.options = options
        self.version = options.version
        self.max_duration_us = options.max_duration_us
        self.records_warn = options.records_warn
        self.records_max = options.records_max
        self.retry = options.retry
        self.recovery = options.recovery
        self.tags = options.tags
        self.body = body
        """With `durable=False`, the step that its code runs as."""
        self.root: Callable[P, Coroutine[Any, Any, R]] = function if body is None else body.ask
        """What a run of it runs on its deterministic loop."""
        self.schedule = options.schedule
        self.signature = Signature.of(function, what=f"workflow {name}")
        self.code_hash = code_hash(function)
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", name)
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Starts it as a child and waits for its end (in a workflow; see `start_child` for more), or calls the function."""
        loop = running_loop()
        if loop is not None:
            return cast(
                "Coroutine[Any, Any, R]", cast(Any, loop.host).run_child(self.call(*args, **kwargs), None, "cancel")
            )
        if self.is_durable:
            refuse_in_body(f"{self!r} runs as a child, which")
        return self.function(*args, **kwargs)

    @property
    def shown_signature(self) -> inspect.Signature:
        """How it is called, as people see it."""
        return inspect.signature(self.function)

    @property
    def is_durable(self) -> bool:
        """Whether each step is recorded: False where a lost worker means to begin again."""
        return self.body is None

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Binds arguments for `Client.start`.

        Raises:
            InvalidValue: An argument is missing, unexpected, or cannot become JSON; names the parameter.
        """
        packed = self.signature.pack(args, kwargs)
        return Call(self.name, packed.args, packed.kwargs, self.signature.result_type)

    def __repr__(self) -> str:
        return f"<workflow {self.name!r}>"


NO_OLDER: Final[Mapping[int, Workflow[..., Any]]] = MappingProxyType({})


def version_of(
    newest: Workflow[..., Any] | None, older: Mapping[int, Workflow[..., Any]], version: int
) -> Workflow[..., Any] | None:
    """Finds the version of a workflow that a run is bound to; the newest where that is not there any more, or none yet."""
    return older.get(version, newest)


def call(workflow: str, /, *args: object, **kwargs: object) -> Call[Any]:
    """Binds arguments for a workflow that is known by name alone; its result is plain JSON.

    Raises:
        InvalidName: The name cannot be a token.
        InvalidValue: An argument cannot become JSON.
    """
    check_token("workflow name", workflow)
    named = {key: encode(value, where=f"argument {key!r} of workflow {workflow}") for key, value in kwargs.items()}
    listed = [encode(value, where=f"argument {index + 1} of workflow {workflow}") for index, value in enumerate(args)]
    pairs = [encode(key, where="name") + b":" + raw for key, raw in named.items()]
    return Call(workflow, b"[" + b",".join(listed) + b"]", b"{" + b",".join(pairs) + b"}" if pairs else None, Any)


class WorkflowDecorator:
    """What `@workflow(...)` returns."""

    def __init__(self, build: Callable[[Callable[..., Any]], Workflow[..., Any]]) -> None:
        self._build = build

    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]:
        return cast("Workflow[P, R]", self._build(function))


@overload
def workflow(function: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    name: str | None = None,
    max_duration: Duration | None = None,
    records_warn: int = RECORDS_WARN,
    records_max: int = RECORDS_MAX,
    max_retries: int = 0,
    retry_delay: RetryDelay = "exponential",
    retry_cap: Duration = "5m",
    jitter: bool = True,
    non_retryable: Sequence[type[BaseException] | str] = (),
    durable: bool = True,
    queue: str | None = None,
    recover_on_worker_loss: bool | None = None,
    max_recovery_attempts: int | None = None,
    tags: Sequence[str] = (),
    version: int = 1,
    schedule: Schedule | ScheduleSpec | None = None,
) -> WorkflowDecorator: ...
def workflow(  # noqa: PLR0913  the options of a workflow, all by name
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    max_duration: Duration | None = None,
    records_warn: int = RECORDS_WARN,
    records_max: int = RECORDS_MAX,
    max_retries: int = 0,
    retry_delay: RetryDelay = "exponential",
    retry_cap: Duration = "5m",
    jitter: bool = True,
    non_retryable: Sequence[type[BaseException] | str] = (),
    durable: bool = True,
    queue: str | None = None,
    recover_on_worker_loss: bool | None = None,
    max_recovery_attempts: int | None = None,
    tags: Sequence[str] = (),
    version: int = 1,
    schedule: Schedule | ScheduleSpec | None = None,
) -> Any:
    """Makes an `async def` a workflow.

    Its code must decide the same way whenever it is replayed: use `now`, `random`, `uuid4` of this package, do I/O in
    steps. Plain asyncio works: `gather`, `wait`, `wait_for`, `timeout`, `as_completed`, `TaskGroup`, queues, locks.

    Args:
        name: Its name in subjects; the function's name by default.
        max_duration: From start to end of a run, or of each link of its chain; one that takes longer fails with `max_duration`.
        records_warn: A log of so many records is said to be long: in the worker's log, and to the code by
            `info().should_continue_as_new`.
        records_max: With so many the run, or link, fails with `run_too_long`.
        max_retries: Times that a run which has failed begins again, with the same arguments, as a new link of its chain. What
            its limits have ended, and a `FatalError`, is not tried again.
        retry_delay, retry_cap, jitter, non_retryable: As for a step.
        durable: With False there is no record per step: the whole code runs as one piece of work on a step worker, with its
            steps in place, and begins again from the beginning when that worker is lost. For work that is quick and may
            be repeated; only start and end are durable.
        queue: Which step workers run it, with `durable=False` alone; "default" by default.
        recover_on_worker_loss: Of its steps, where they do not say; with `durable=False`, of the whole. True by default.
        max_recovery_attempts: As above: times that it is run again; 3 by default.
        tags: At most 3 texts for lists and dashboards.
        version: Several versions of a name may be registered together: new runs, and new links, begin under the highest, and
            each goes on under its own for as long as that is there.
        schedule: When it is started, without arguments. Actor workers create the schedule `auto-<name>` when they start,
            or change it to what the code says; one that was paused stays paused, one that was deleted stays deleted.

    Raises:
        DefinitionError: The function is not an `async def`, or an option cannot work.
        InvalidName: The name cannot be a token, or begins with `jetrun-`, which is the engine's own.
    """

    def build(target: Callable[..., Any]) -> Workflow[..., Any]:
        if not inspect.iscoroutinefunction(target):
            shown = getattr(target, "__name__", repr(target))
            raise DefinitionError(f"workflow {shown!r} must be an `async def`; it orchestrates, steps do the work")
        workflow_name = check_token("workflow name", name if name is not None else target.__name__)
        if workflow_name.startswith(ENGINE_PREFIX):
            raise InvalidName(
                f"workflow name {workflow_name!r} begins with {ENGINE_PREFIX!r}, which is the engine's own"
            )
        limit_us = 0 if max_duration is None else duration_us(max_duration, what=f"max_duration of {workflow_name!r}")
        what = f"workflow {workflow_name!r}"
        if not 1 <= records_warn < records_max <= RECORDS_MAX:
            bounds = f"records_warn={records_warn}, records_max={records_max}"
            raise DefinitionError(f"{what}: {bounds}; use 1 <= records_warn < records_max <= {RECORDS_MAX}")
        policy = RetryPolicy.build(
            max_retries=max_retries, retry_delay=retry_delay, cap=retry_cap, jitter=jitter, non_retryable=non_retryable
        )
        recovery = Recovery.build(
            what, recover_on_worker_loss=recover_on_worker_loss, max_recovery_attempts=max_recovery_attempts
        )
        body = _body(target, workflow_name, durable, queue, recovery)
        adopt_globals(target.__globals__)
        planned = Schedule(spec=schedule) if isinstance(schedule, ScheduleSpec) else schedule
        options = WorkflowOptions(
            max_duration_us=limit_us,
            records_warn=records_warn,
            records_max=records_max,
            retry=policy if policy.max_retries else None,
            recovery=recovery,
            tags=_checked_tags(what, tags),
            version=_checked_version(what, version, body),
            schedule=planned,
        )
        made = Workflow(target, name=workflow_name, options=options, body=body)
        if planned is not None:
            _check_planned(made)
        return made

    return WorkflowDecorator(build) if function is None else build(function)


def _body(
    function: Callable[..., Any],
    name: str,
    durable: object,
    queue: str | None,
    recovery: Recovery | None,
) -> Body[..., Any] | None:
    if not isinstance(durable, bool):
        raise DefinitionError(f"workflow {name!r}: durable={durable!r}; use True or False")
    if not durable:
        return body_of(function, workflow=name, queue=check_token("queue", queue or "default"), recovery=recovery)
    if queue is not None:
        raise DefinitionError(
            f"workflow {name!r}: queue={queue!r} says which step workers run a whole workflow, which is for durable=False; "
            "give the queue to its steps: @step(queue=...)"
        )
    return None


def _checked_version(what: str, version: object, body: object) -> int:
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= WORKFLOW_VERSION_MAX:
        raise DefinitionError(f"{what}: version={version!r}; use a whole number from 1 to {WORKFLOW_VERSION_MAX}")
    if version > 1 and body is not None:
        raise DefinitionError(
            f"{what}: version={version} with durable=False; what has no log is not bound to a version"
        )
    return version


def _checked_tags(what: str, tags: object) -> tuple[str, ...]:
    if isinstance(tags, str) or not isinstance(tags, Sequence):
        raise DefinitionError(f"{what}: tags={tags!r}; use a list of texts")
    listed = tuple(cast("Sequence[object]", tags))
    if len(listed) > WORKFLOW_TAGS_MAX:
        raise DefinitionError(f"{what} has {len(listed)} tags; at most {WORKFLOW_TAGS_MAX}")
    for tag in listed:
        if not isinstance(tag, str) or not 1 <= len(tag) <= WORKFLOW_TAG_CHARACTERS_MAX or not tag.isprintable():
            raise DefinitionError(
                f"{what}: tag {ascii(tag)[:80]}; use a printable text of 1 to {WORKFLOW_TAG_CHARACTERS_MAX} characters"
            )
    return cast("tuple[str, ...]", listed)


def _check_planned(planned: Workflow[..., Any]) -> None:
    """Refuses a schedule that could not start its workflow. Raises DefinitionError."""
    if not isinstance(planned.schedule, Schedule):
        raise DefinitionError(f"schedule of {planned.name!r} is no Schedule; write Schedule(spec=ScheduleSpec(...))")
    try:
        check_schedule_id(AUTO_PREFIX + planned.name)
        planned.signature.pack((), {})
    except (InvalidName, InvalidValue) as error:
        raise DefinitionError(f"workflow {planned.name!r} cannot be scheduled: {error}; give defaults") from error


def code_hash(function: Callable[..., Any]) -> str:
    """Hashes a workflow's code with that of the functions of its own module that it can reach; steps are not part of it."""
    digest = blake2b(digest_size=8)
    if isinstance(function, FunctionType):
        _feed_function(digest.update, function, set())
    return digest.hexdigest()


def _feed_function(update: Callable[[bytes], None], function: FunctionType, seen: set[FunctionType]) -> None:
    if function in seen:
        return
    seen.add(function)
    names: set[str] = set()
    _feed_code(update, function.__code__, names)
    update(
        repr((function.__defaults__, function.__kwdefaults__)).encode(errors="replace")
        if _has_plain_defaults(function)
        else b""
    )
    for name in sorted(names):
        value = function.__globals__.get(name)
        if isinstance(value, (Step, Workflow)):
            continue
        if isinstance(value, FunctionType) and value.__module__ == function.__module__:
            _feed_function(update, value, seen)
        elif isinstance(value, (int, float, str, bytes, bool)):
            update(f"{name}={value!r}".encode(errors="replace"))


def _has_plain_defaults(function: FunctionType) -> bool:
    values = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    return all(value is None or isinstance(value, (int, float, str, bytes, bool)) for value in values)


def _feed_code(update: Callable[[bytes], None], code: CodeType, names: set[str]) -> None:
    update(code.co_code)
    names.update(code.co_names)
    update(" ".join(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _feed_code(update, constant, names)
        elif isinstance(constant, frozenset):
            # A frozenset's own order is random.
            update(repr(sorted(map(repr, cast("frozenset[object]", constant)))).encode(errors="replace"))
        else:
            update(repr(constant).encode(errors="replace"))
