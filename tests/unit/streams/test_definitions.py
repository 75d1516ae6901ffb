"""Definitions: the rules of ARCHITECTURE.md as they stand in the streams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.errors import DefinitionError, InvalidName
from jetrun.actors.limits import BODY_BYTES_MAX
from jetrun.actors.names import RunKey
from jetrun.streams.definitions import META_PARTITIONS, StreamDefinition, define
from jetrun.streams.subjects import App, object_stream

APP = App("shop")


def stream(name: str, partitions: int = 16) -> StreamDefinition:
    return next(s for s in define(APP, queues=["default"], partitions=partitions).streams if s.name == name)


def test_no_header_has_power_over_the_public_door() -> None:
    """MAIL has no rollup, schedules, TTL or batches, refuses when full, and tells the publisher (R10)."""
    mail = stream(APP.mail)

    assert not mail.allow_rollup_hdrs
    assert not mail.allow_msg_schedules
    assert mail.discard == "new"
    assert mail.discard_new_per_subject
    assert mail.max_bytes > 0
    assert mail.max_msg_size >= BODY_BYTES_MAX
    assert mail.duplicate_window == 100_000_000


@pytest.mark.parametrize("name", [APP.log, APP.work, APP.timers])
def test_no_limit_can_delete_logs_work_or_timers(name: str) -> None:
    """A limit on a stream with schedules silently deletes timers."""
    definition = stream(name)

    assert (definition.max_msgs, definition.max_bytes, definition.max_age, definition.max_msgs_per_subject) == (
        -1,
        -1,
        0,
        -1,
    )


def test_mail_is_made_last() -> None:
    """A MAIL without a LOG then means a log that was lost, not a provisioning that was interrupted."""
    assert define(APP, queues=(), partitions=1).streams[-1].name == APP.mail


def test_every_stream_can_be_read_without_a_consumer() -> None:
    """The takeover read and the run's log use direct get (R6, R11)."""
    assert all(definition.allow_direct for definition in define(APP, queues=(), partitions=1).streams)


@given(st.integers(1, 40))
def test_each_partition_has_its_two_consumers(partitions: int) -> None:
    """No message of a partition is without a consumer, none has two; what has no partition has one, too (R10)."""
    wanted = define(APP, queues=["default"], partitions=partitions)

    filters = [consumer.filter_subject for name in (APP.mail, APP.timers) for consumer in wanted.consumers[name]]
    assert len(filters) == len(set(filters)) == 2 * partitions + 1
    assert APP.strays_filter() in filters
    assert all(consumer.max_deliver == -1 for consumers in wanted.consumers.values() for consumer in consumers)
    assert wanted.streams[-1].metadata[META_PARTITIONS] == str(partitions)


def test_a_queue_consumer_takes_work_and_not_retries() -> None:
    """A consumer over a schedule's subject would ack it away (ADR-51)."""
    (queue,) = define(APP, queues=["pay", "pay"], partitions=1).consumers[APP.work]

    assert queue.durable_name == "queue_pay"
    assert queue.filter_subject == "wf.shop.work.pay.>"
    assert not APP.retry(RunKey("order", "o-1"), 1).startswith("wf.shop.work.")
    assert queue.max_ack_pending == -1


def test_names_and_numbers_are_checked() -> None:
    """What cannot be a subject token never reaches the server."""
    with pytest.raises(InvalidName):
        define(APP, queues=["a.b"], partitions=1)
    with pytest.raises(DefinitionError):
        define(APP, queues=(), partitions=0)


def test_two_apps_share_no_subject() -> None:
    """Streams of one account must not overlap."""
    mine = {s for d in define(APP, queues=(), partitions=1).streams for s in d.subjects}
    others = {s for d in define(App("shop2"), queues=(), partitions=1).streams for s in d.subjects}

    assert not mine & others
    assert object_stream(APP.values) == "OBJ_WF_shop_VALUES"
