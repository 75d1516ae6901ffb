"""Subjects: the one place where names become subjects and subjects names again.

The grammar is injective: every name is a single checked token (`actors.names`), so two different things never share
a subject and a subject read back gives the names that made it. The partition is routing, never identity (R2).
"""

from __future__ import annotations

import msgspec

from ..actors.errors import BadMessage, InvalidName
from ..actors.limits import SUBJECT_BYTES_MAX
from ..actors.names import RunKey, check_token, is_token


class MailAddress(msgspec.Struct, frozen=True, gc=False):
    """A mailbox subject read back."""

    partition: int | None
    """None where the subject was not routed."""
    key: RunKey
    verb: str
    name: str
    """What follows the verb; neither is checked yet."""


class App(msgspec.Struct, frozen=True):
    """The names of one app's streams, consumers and subjects.

    Args:
        name: The app's name, a subject token.

    Raises:
        InvalidName: The name cannot be a token.
    """

    name: str = "default"

    def __post_init__(self) -> None:
        check_token("app name", self.name)

    # --- streams and consumers ------------------------------------------------------------------
    @property
    def mail(self) -> str:
        return f"WF_{self.name}_MAIL"

    @property
    def log(self) -> str:
        return f"WF_{self.name}_LOG"

    @property
    def work(self) -> str:
        return f"WF_{self.name}_WORK"

    @property
    def timers(self) -> str:
        return f"WF_{self.name}_TIMERS"

    @property
    def dead(self) -> str:
        return f"WF_{self.name}_DEAD"

    @property
    def index(self) -> str:
        return f"WF_{self.name}_INDEX"

    @property
    def values(self) -> str:
        """Bucket of the object store that holds large values."""
        return f"WF_{self.name}_VALUES"

    def mail_consumer(self, partition: int) -> str:
        return f"mail_{partition}"

    @property
    def strays_consumer(self) -> str:
        return "mail_strays"

    def fired_consumer(self, partition: int) -> str:
        return f"fired_{partition}"

    def queue_consumer(self, queue: str) -> str:
        return f"queue_{check_token('queue', queue)}"

    # --- subjects: messages to runs ------------------------------------------------------------------
    def input(self, key: RunKey, verb: str, name: str = "") -> str:
        """Where a message to a run is published: the public door."""
        subject = f"wf.{self.name}.run.{key.workflow}.{key.run}.{verb}"
        return f"{subject}.{name}" if name else subject

    def mail_filter(self, partition: int) -> str:
        return f"wf.{self.name}.mail.{partition}.>"

    def strays_filter(self) -> str:
        """Filter: messages that the server did not route, because a token of theirs is a literal `*` or `>`.

        Wider than the door: `run.*.*.>` would pass over a `>` that stands for a workflow or run (seen on 2.15.1).
        """
        return f"wf.{self.name}.run.>"

    def mailbox(self, partition: int, key: RunKey, verb: str) -> str:
        return f"wf.{self.name}.mail.{partition}.{key.workflow}.{key.run}.{verb}"

    def starts_waiting(self, key: RunKey) -> str:
        """Filter: the run's start in the mailbox, whatever its partition is."""
        return f"wf.{self.name}.mail.*.{key.workflow}.{key.run}.start"

    def fired_filter(self, partition: int) -> str:
        return f"wf.{self.name}.fired.{partition}.>"

    # --- subjects: the run's own ---------------------------------------------------------------------------
    def log_of(self, key: RunKey) -> str:
        return f"wf.{self.name}.log.{key.workflow}.{key.run}"

    def live_of(self, key: RunKey) -> str:
        return f"wf.{self.name}.live.{key.workflow}.{key.run}"

    def done(self, key: RunKey) -> str:
        return f"wf.{self.name}.done.{key.workflow}.{key.run}"

    def note(self, key: RunKey) -> str:
        return f"wf.{self.name}.note.{key.workflow}.{key.run}"

    def stop(self, key: RunKey) -> str:
        """Notice to step workers: cancel what you run for this run."""
        return f"wf.{self.name}.stop.{key.workflow}.{key.run}"

    def ask(self, key: RunKey, query: str) -> str:
        return f"wf.{self.name}.ask.{key.workflow}.{key.run}.{query}"

    def beat(self, worker: str) -> str:
        return f"wf.{self.name}.beat.{worker}"

    def work_of(self, queue: str, key: RunKey, command: int) -> str:
        return f"wf.{self.name}.work.{queue}.{key.workflow}.{key.run}.{command}"

    def work_filter(self, queue: str) -> str:
        return f"wf.{self.name}.work.{queue}.>"

    def work_of_run(self, key: RunKey) -> str:
        """Filter: all queued work of a run."""
        return f"wf.{self.name}.work.*.{key.workflow}.{key.run}.*"

    def retry(self, key: RunKey, command: int) -> str:
        return f"wf.{self.name}.retry.{key.workflow}.{key.run}.{command}"

    def retry_of_run(self, key: RunKey) -> str:
        """Filter: all waiting retries of a run."""
        return f"wf.{self.name}.retry.{key.workflow}.{key.run}.*"

    def timer(self, partition: int, key: RunKey, timer: str) -> str:
        """Where a timer is scheduled; `timer` is a command's number or one of the engine's words."""
        return f"wf.{self.name}.timer.{partition}.{key.workflow}.{key.run}.{timer}"

    def timers_of_run(self, key: RunKey) -> str:
        """Filter: all timers of a run, whatever its partition was."""
        return f"wf.{self.name}.timer.*.{key.workflow}.{key.run}.*"

    def fired(self, partition: int, key: RunKey) -> str:
        return f"wf.{self.name}.fired.{partition}.{key.workflow}.{key.run}"

    def dead_of(self, key: RunKey) -> str:
        return f"wf.{self.name}.dead.{key.workflow}.{key.run}"

    def dead_unreadable(self, digest: str) -> str:
        """For messages whose subject names no run: a hash stands for it (R10)."""
        return f"wf.{self.name}.dead._.{digest}"

    def index_of(self, state: str, key: RunKey) -> str:
        return f"wf.{self.name}.index.{state}.{key.workflow}.{key.run}"

    def details_of(self, key: RunKey, command: int | str) -> str:
        """For what a step's heartbeats have said last; `*` for all steps of the run."""
        return f"wf.{self.name}.index.details.{key.workflow}.{key.run}.{command}"

    # --- subjects read back ------------------------------------------------------------------------------------
    def read_mail(self, subject: str) -> MailAddress:
        """Reads a stored mailbox subject. The server stores literal `*` and `>` and any number of tokens.

        Raises:
            BadMessage: It names no run.
        """
        tokens = subject.split(".")
        # What holds a wildcard of its own is stored as it was published, without a partition (seen on 2.15.1).
        partition, names = (int(tokens[3]), tokens[4:]) if tokens[2] == "mail" else (None, tokens[3:])
        if len(names) < 3:
            raise BadMessage("subject", f"subject {ascii(subject)[:120]} names no run: use run.<workflow>.<run>.<verb>")
        try:
            key = RunKey(check_token("workflow name", names[0]), check_token("run id", names[1]))
        except InvalidName as error:
            raise BadMessage("subject", str(error)) from error
        return MailAddress(partition, key, names[2], ".".join(names[3:]) if len(names) > 3 else "")

    def read_work(self, subject: str) -> RunKey | None:
        """Reads the run from a work subject; None when it holds none."""
        tokens = subject.split(".")
        if len(tokens) != 7:
            return None
        return RunKey(tokens[4], tokens[5]) if is_token(tokens[4]) and is_token(tokens[5]) else None

    def read_run(self, subject: str) -> RunKey | None:
        """Reads the run from a log, live, done, fired or index subject; None when it holds none."""
        tokens = subject.split(".")
        if len(tokens) < 5:
            return None
        workflow, run = tokens[-2], tokens[-1]
        return RunKey(workflow, run) if is_token(workflow) and is_token(run) else None


def object_stream(bucket: str) -> str:
    """Names the stream that holds a bucket of the object store."""
    return f"OBJ_{bucket}"


def check_subject(subject: str) -> None:
    """Refuses what would break the protocol line: the server would close the connection for good.

    Raises:
        InvalidName: It is empty, too long, or holds a space or control character.
    """
    if (
        not subject
        or len(subject) > SUBJECT_BYTES_MAX
        or " " in subject
        or not (subject.isascii() and subject.isprintable())
    ):
        raise InvalidName(
            f"subject {ascii(subject)[:80]} cannot be sent: printable ASCII without spaces, at most {SUBJECT_BYTES_MAX} bytes"
        )


def partition_of(run: str, partitions: int) -> int:
    """Computes the server's `{{partition(P,2)}}` of a run id: FNV-1a, 32 bit, modulo P (seen on 2.15.1)."""
    digest = 2166136261
    for byte in run.encode():
        digest = ((digest ^ byte) * 16777619) & 0xFFFFFFFF
    return digest % partitions
