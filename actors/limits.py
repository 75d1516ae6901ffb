"""Every bound of the engine, with its unit and its reason; nothing else decides a number.

Related bounds are asserted together at the end, so that a change of one that breaks another
fails at import. This file knows no other file.
"""

from __future__ import annotations

from typing import Final

# --- names ---------------------------------------------------------------------------------
TOKEN_BYTES_MAX: Final = 128
"""A subject token. Four of them and the engine's own stay far below the server's 4 KB line."""

# --- values, messages, records ----------------------------------------------------------------
BODY_BYTES_MAX: Final = 256 * 1024
"""A message's body at the public door (MAIL `max_msg_size`, headers included)."""

VALUE_INLINE_BYTES_MAX: Final = 192 * 1024
"""A value (arguments, result, payload) above this goes to the object store and is named by hash."""

VALUE_BYTES_MAX: Final = 8 * 1024 * 1024
"""A value at all. Decoding 8 MiB of JSON holds a worker's loop for some 50 ms; more would be felt by other runs."""

OBJECT_BYTES_MAX: Final = VALUE_BYTES_MAX + 1024
"""An object in the store: a value, or arguments with the few words around them."""

BODY_DEPTH_MAX: Final = 64
"""Nesting of a body: what is accepted must be possible to store and to decode everywhere."""

RECORD_BYTES_MAX: Final = 512 * 1024
"""One record, half of the server's default `max_payload`: headers and envelope always fit."""

TURN_MESSAGES_MAX: Final = 500
"""Messages folded into one record; then other runs have their turn (R3)."""

TURN_BYTES_MAX: Final = 448 * 1024
"""Bodies folded into one record. With the envelope of 500 messages it stays below a record."""

ERROR_TEXT_BYTES_MAX: Final = 4 * 1024
"""The message of a recorded error; longer ones are cut and say so."""

REASON_CHARS_MAX: Final = 1_000
"""Why a message is refused, in its dead letter, notice and log line; it may quote what was sent."""

TRACEBACK_BYTES_MAX: Final = 16 * 1024
"""The traceback of a recorded error: its end is kept, which is where the failure is."""

MESSAGE_IDS_MAX: Final = 10_000
"""Intent ids (`id` in a body) remembered per run (R5)."""

RECORDS_WARN: Final = 10_000
RECORDS_MAX: Final = 50_000
"""Records of a run: a warning, and the end of the run with a clear error."""

HOOKS_KEPT_MAX: Final = 10_000
HOOKS_KEPT_BYTES_MAX: Final = 32 * 1024 * 1024
"""Hook messages kept per run before anybody waits for them; they are in the memory of whoever hosts the run."""

HOOKS_SHOWN_MAX: Final = 100
"""Open hooks named in a run's summary, which is in each of its records."""

HOOK_SCHEMA_BYTES_MAX: Final = 16 * 1024
"""JSON Schema of a hook's type in its command; a larger one is not published. Some hundred fields fit."""

STATUS_VALUES_MAX: Final = 32
STATUS_BYTES_MAX: Final = 4 * 1024
"""Status values of a run, keys and JSON together: they are in each of its records and in the index."""

UPDATES_OPEN_MAX: Final = 1_000
"""Updates of one run whose handlers are at work at once."""

QUERY_S: Final = 1.0
"""A query's handler that holds the loop longer is interrupted: it reads what is in memory (R16)."""

QUERY_BYTES_MAX: Final = VALUE_INLINE_BYTES_MAX
"""A query's arguments, and its result: each is one core message, far below the server's `max_payload`."""

QUERIES_AT_ONCE_MAX: Final = 64
"""Queries that one worker answers at once; more are told to ask again."""

# --- time ----------------------------------------------------------------------------------
DELAY_US_MAX: Final = 100 * 366 * 86_400 * 1_000_000
"""A timer's distance. The server's `@at` overflows in 2262 and would then fire at once."""

EARLY_KEEP_US: Final = 24 * 3_600 * 1_000_000
"""How long a hook, update or cancel waits for the start of its run (R4)."""

TIMER_SERVED_US: Final = 1_000_000
"""Timers below this are also served by the owner: the server's own wake-ups are 250 ms apart (R14)."""

PARK_RETRY_FIRST_US: Final = 5 * 1_000_000
PARK_RETRY_MAX_US: Final = 300 * 1_000_000
"""A parked run is tried again after 5 s, doubling to 5 min (R3)."""

RETENTION_US: Final = 7 * 86_400 * 1_000_000
FORGET_AFTER_US: Final = 30 * 86_400 * 1_000_000
"""An ended run's log is kept whole, then its terminal record, which keeps the id taken (R15)."""

# --- schedules -------------------------------------------------------------------------------
SCHEDULE_ID_MAX: Final = 96
"""A schedule's id. With the time and a mark behind it, it is still a token: the id of the run that it starts."""

CATCH_UP_US_MIN: Final = 2 * 1_000_000
CATCH_UP_TIMES_MAX: Final = 1_000
"""A delayed message comes up to a second late. After a gap so many times are caught up at most, the oldest ones; each costs
a few commands of one record."""

MISSED_COUNTED_MAX: Final = 1_000
"""Times that a gap has missed are counted up to this; each costs some 50 µs while a worker's loop is held."""

SCHEDULE_RUNS_MAX: Final = 1_000
"""Runs of one schedule that are under way at once, or wait for their turn; more are skipped."""

BACKFILL_TIMES_MAX: Final = 1_000
"""Times of one backfill: they travel in one message."""

SCHEDULE_COMMANDS_MAX: Final = 1_000
"""Commands after which a schedule continues as new when none of its runs is under way; after three times as many in any case."""

# --- graphs ----------------------------------------------------------------------------------
GRAPH_INSTANT_MAX: Final = 20_000
"""Activations that one event may begin: if they wait for nothing, some 20 µs each hold the worker's loop."""

GRAPH_VARIABLES_FREE: Final = 256
"""A copy of so many variables, some 10 µs, counts as an activation more: for who publishes, or brings as many that are new to a join."""

GRAPH_ITEMS_MAX: Final = 10_000
"""Items of one task: as many commands may be open."""

GRAPH_ADVANCE_STEPS_MAX: Final = 1_000_000
GRAPH_ADVANCE_SIZE_MAX: Final = 16 * 1024 * 1024
"""What the expressions of one event may spend in all: some 0.2 s. What they publish has to fit into one object of the log."""

GRAPH_REHEARSAL_EVENTS_MAX: Final = 100_000
"""Ends of work in one scenario of a rehearsal: as many as a run may have activations, in some 5 s."""

GRAPH_SCENARIOS_MAX: Final = 1_000
"""Scenarios of one rehearsal file."""

GRAPH_RECORDS: Final = 5_000
"""Records after which a graph run continues as new when it waits for nothing but timers and hooks."""

GRAPH_RECORDS_HOLD: Final = 25_000
"""Records after which it begins nothing new until that is so; half of what a run may have."""
GRAPH_ITERATIONS: Final = 1_000
"""Activations of one task, unless the definition says otherwise: a loop that forgot its end is stopped."""

GRAPH_ACTIVATIONS: Final = 100_000
"""Activations of a run in all, likewise."""

GRAPH_VALUE_BYTES: Final = 1024 * 1024
"""JSON of one variable, likewise."""

GRAPH_DEFINITION_BYTES_MAX: Final = 1024 * 1024
"""A graph's definition, as the bytes of its text. One of 1,000 tasks has some 150 KB."""

GRAPH_DEPTH_MAX: Final = 64
"""Mappings and lists within each other in a definition. Parsers need quadratic time for deep nesting, recursive code a stack."""

GRAPH_NODES_MAX: Final = 200_000
"""Values of a definition, keys not counted: 20 for each of 10,000 tasks. So many are read in about a second."""

GRAPH_NUMBER_CHARS_MAX: Final = 400
"""A number's text. The longest that says something, a float written out in full, has some 330."""

GRAPH_EXPRESSION_BYTES_MAX: Final = 4 * 1024
"""One expression's source: no person writes more, and its parser is not made for strangers."""

GRAPH_EXPRESSIONS_BYTES_MAX: Final = 256 * 1024
GRAPH_EXPRESSION_OVERHEAD_BYTES: Final = 16
"""All different expressions of a definition, and what each counts more than it has. Parsing a byte takes some 5 µs."""

GRAPH_EXPRESSION_DEPTH_MAX: Final = 32
"""Brackets, signs and alternatives within one another: a level takes 14 frames of the parser, of 1,000 that Python has."""

GRAPH_EXPRESSION_CHAIN_MAX: Final = 128
"""Operators, keys and filters one after the other: each is a frame when the expression is evaluated."""

GRAPH_STEPS_MAX: Final = 10_000
"""Nodes evaluated and elements touched by one expression: some 5 ms."""

GRAPH_PROGRAMS_MAX: Final = 1_024
"""Expressions kept compiled, some 10 KiB each: tasks of a graph use the same few, and each run reads its definition anew."""

GRAPH_MADE_MAX: Final = 1024 * 1024
"""Characters and elements that one expression makes."""

GRAPH_TASKS_MAX: Final = 10_000
"""Tasks of one definition: they are checked in some seconds."""

GRAPH_ITERATIONS_MAX: Final = 1_000_000
GRAPH_ACTIVATIONS_MAX: Final = 1_000_000
"""What a definition may raise the two to; the records of a run have their own bound."""

GRAPH_NAME_CHARS_MAX: Final = 64
"""A task's name: it is part of ids and of subjects."""

GRAPH_VARIABLE_CHARS_MAX: Final = 128
"""A variable's name."""

# --- the loop --------------------------------------------------------------------------------
TURN_CALLBACKS_MAX: Final = 100_000
"""Callbacks of one turn; more is a workflow that never waits (R16)."""

CLOSES_MAX: Final = 100
"""Times that the code of a dead loop is closed; each takes it out of one `finally` that awaits."""

CHILD_DEPTH_MAX: Final = 16
"""Levels of children below a run that is nobody's child; more is a recursion that somebody forgot to end."""

COMMANDS_OPEN_MAX: Final = 20_000
"""Steps, timers and hooks of one run that are open at once."""

BLOCKED_WARN_S: Final = 2.0
BLOCKED_MAX_S: Final = 10.0
"""A fold that holds the loop: reported with its stack, then the run is parked (R16)."""

# --- steps -----------------------------------------------------------------------------------
STEP_RETRIES: Final = 3
RECOVERY_ATTEMPTS: Final = 3
"""Times that an attempt is run again after its worker was lost, where nobody says otherwise."""

RECOVERY_ATTEMPTS_MAX: Final = 10_000
"""What code may ask for: beyond it, what kills workers would do so for ever."""

STEP_RECOVERIES_MAX: Final = RECOVERY_ATTEMPTS + 1
"""Deliveries of one attempt that may end without a word from the worker before the step counts as deadly (R18)."""

BODY_THREADS_MAX: Final = 100
"""Sync steps that one body of a workflow with `durable=False` runs at once; the others wait."""

WORKFLOW_VERSION_MAX: Final = 2**31 - 1
"""Of `@workflow(version=...)`; also a date, 20260131, is a version."""

WORKFLOW_TAGS_MAX: Final = 3
WORKFLOW_TAG_CHARACTERS_MAX: Final = 64

STEP_CONCURRENCY_MAX: Final = 10_000
"""Steps of one queue that one worker runs at once; each is a task or a thread."""

STEP_CANCEL_GRACE_S: Final = 5.0
"""A cancelled async step may clean up for so long; then its end is reported without it."""

STEPS_LEFT_RUNNING_MAX: Final = 100
"""Timed-out steps whose code goes on (threads cannot be stopped); beyond this they keep their slots until they end."""

STEP_NOTE_AFTER_S: Final = 0.1
"""Only steps that run longer are announced as started: notices of shorter ones would cost more than the steps."""

UNKNOWN_STEP_DELAY_US: Final = 10 * 1_000_000
"""A step that this worker does not know may be known to the next one of a rolling deploy."""

RESULT_PAUSE_FIRST_S: Final = 0.1
RESULT_PAUSE_MAX_S: Final = 5.0
"""A step's result that could not be stored is published again after 0.1 s, doubling to 5 s, for as long as it takes."""

ASK_PATIENCE_S: Final = 5.0
"""How long a step worker asks whether work that it was handed again is still waited for, before it runs it (R8). Any actor
worker can answer; one that was killed is replaced sooner."""

WORK_SETTLED_MAX: Final = 10_000
"""Work done and acked that a worker remembers: when the ack got lost, it comes again and is acked on sight."""

INLINE_US: Final = 5 * 1_000_000
INLINE_US_MAX: Final = 30 * 1_000_000
"""Timeout of one attempt of an inline step, unless given, and at most: the run takes no messages meanwhile."""

INLINE_AT_ONCE_MAX: Final = 64
"""Inline steps that one actor worker runs at once: tasks and threads beside its folds."""

INLINE_PER_DECISION_MAX: Final = 100
"""Of one decision; the others of it go to their queue. Their results wait in the mailbox, which has a bound, too."""

HEARTBEAT_BYTES_MAX: Final = 16 * 1024
"""What a heartbeat may carry: where the work is, not the work itself."""

HEARTBEAT_EVERY_S: Final = 1.0
"""Details are stored at most so often; the newest wins."""

PROGRESS_EVERY_S: Final = 0.2
PROGRESS_TEXT_CHARS_MAX: Final = 200
"""Progress is told to whoever watches at most so often, with so much text."""

RETRY_DELAY_CAP_S: Final = 300.0
RETRIES_MAX: Final = 1_000_000

# --- placement, delivery ------------------------------------------------------------------------
PARTITIONS: Final = 16
MAIL_ACK_WAIT_S: Final = 10.0
WORK_ACK_WAIT_S: Final = 30.0
WORK_PROGRESS_S: Final = 8.0
"""In-progress acks of a running step: three may be lost before the lease ends."""

MAIL_ACK_PENDING_MAX: Final = 5_000
MAIL_MESSAGES_PER_SUBJECT_MAX: Final = 10_000
PIN_TIMEOUT_S: Final = 2.0
BEAT_S: Final = 1.0
BEATS_MISSED_MAX: Final = 3
"""A worker silent for three beats has lost its place; with the read that follows a takeover stays below 5 s."""

SUSPECT_DELIVERIES: Final = 3
"""A message delivered this often is folded alone, under the crash note (R16)."""

ACTORS_CACHED_MAX: Final = 2_000
LOADS_MAX: Final = 32
LOAD_BYTES_MAX: Final = 64 * 1024 * 1024
LOAD_PAGE_BYTES: Final = 4 * 1024 * 1024
REPLAY_YIELD_S: Final = 0.005
"""Loading: how many logs at once, how much of them, per page, and how long replay may hold the loop (R11)."""

APPENDS_IN_FLIGHT_MAX: Final = 512
PUBLISH_TIMEOUT_S: Final = 5.0
DRAIN_S: Final = 20.0

# --- the embedded server ------------------------------------------------------------------------
SERVER_PAYLOAD_BYTES_MAX: Final = 1024 * 1024
"""The server's own default, set because the bounds of records and bodies rely on it."""

SERVER_LOG_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one log file; the newest two are kept."""

SERVER_START_S: Final = 300.0
"""After kill -9 a store with a million messages takes 1.5 s; a large one on a slow disk must still come up."""

SERVER_JOIN_S: Final = 5.0
"""How long to wait for a store's owner to say where it serves, or to be gone."""

SERVER_STOP_S: Final = 10.0
"""From SIGTERM to SIGKILL. A stop takes 20 ms; a kill loses nothing that was acknowledged."""

# --- streams -----------------------------------------------------------------------------------
PARTITIONS_MAX: Final = 256
"""Two consumers each, and a pull a second while owned: more cost without a gain, runs are spread by hash."""

MAIL_MESSAGE_BYTES_MAX: Final = BODY_BYTES_MAX + 4 * 1024
"""`max_msg_size` counts headers: a body of the full size still fits with a sender's trace headers."""

MAIL_BYTES_MAX: Final = 1024 * 1024 * 1024
DEAD_BYTES_MAX: Final = 256 * 1024 * 1024
DEAD_TEXT_BYTES_MAX: Final = 3 * BODY_BYTES_MAX // 2
"""A dead body as JSON text; one whose escapes make it longer is kept in base64, which is a third longer than the body.
With headers of 64 KB, escaped too, it stays below the server's `max_payload`."""
STREAM_BYTES_MIN: Final = 16 * 1024 * 1024
STREAM_SHARE: Final = 4
"""Stream sizes, at most a quarter of the account's storage each; halved down to the least where the account or disk allows less, then an operator's to change."""

DEAD_AGE_S: Final = 30 * 86_400
DUPLICATE_WINDOW_S: Final = 0.1
"""The server's minimum: no Msg-Ids of ours, and nobody else's shall swallow a message (R9)."""

PULLS_WAITING_MAX: Final = 4096
"""Pulls waiting at one consumer, over all workers."""

KEY_BYTES: Final = 32
"""The actors' secret. Keyed BLAKE2b takes at most 64 bytes."""

# --- the wire ----------------------------------------------------------------------------------
READ_BYTES: Final = 1024 * 1024
"""Read from the socket at once: a batch of deliveries then costs one pass of the loop."""

WRITE_BYTES: Final = 256 * 1024
"""Commands gathered beyond this are written at once instead of at the end of the loop's turn."""

UNSENT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Commands kept while there is no connection; acks and notices beyond are dropped, publishes wait."""

SUBJECT_BYTES_MAX: Final = 1024
"""A subject. The server closes the connection for good on a line above 4 KB, reply subject and headers included."""

PUBLISHES_PENDING_MAX: Final = 16 * 1024
PUBLISH_BYTES_PENDING_MAX: Final = 32 * 1024 * 1024
"""Publishes without an answer, and their bytes; more wait for room."""

SWEEP_S: Final = 0.25
"""One timer looks for overdue answers and pulls; a time limit may be passed by this much."""

CONNECT_TIMEOUT_S: Final = 2
DIAL_WAIT_S: Final = 60.0
DIAL_WAIT_SHORT_S: Final = 2.0
DIAL_PAUSE_S: Final = 0.25
"""Patience at the start of a worker, and of a command or client, whose user is waiting; and the pause between dials."""

RECONNECT_PAUSE_S: Final = 0.25
RECONNECTS_ONE_SHOT_MAX: Final = 12
"""Workers reconnect for ever; a command gives up after some 3 s."""

RETIRED_S: Final = 5.0
"""How long a subscription that was ended still takes what the server had sent before it knew."""

PING_INTERVAL_S: Final = 10
PINGS_OUTSTANDING_MAX: Final = 2
"""A server that is gone without a word is noticed after 20 to 30 s (nats-py's default: 4 to 6 minutes)."""

FLUSH_TIMEOUT_S: Final = 5
API_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 5.0
READ_TRIES_MAX: Final = 3
"""An API answer, the next message of a batched read, and how often a page is asked for again."""

READ_BATCH_MAX: Final = 10_000
"""Messages asked for in one page; its bytes are bounded too."""

PULL_BATCH: Final = 256
PULL_EXPIRES_S: Final = 10.0
PULL_GRACE_S: Final = 2.0
"""A pull's size and life; one that is overdue by the grace was lost on the way and is sent again."""

PULL_RETRY_FIRST_S: Final = 0.25
PULL_RETRY_MAX_S: Final = 5.0
"""The pause after a pull that the server refused: doubling."""

PULL_TICK_S: Final = 1.0
PIN_PULL_EXPIRES_S: Final = 1.5
"""Under a pin a new pull goes out every tick: the server drops a pin `PIN_TIMEOUT_S` after its last pull, even while
an older one still waits (seen on 2.15.1). The life overlaps the tick, so that one is always outstanding."""

SCAN_BATCH: Final = 500
SCAN_EXPIRES_S: Final = 30
SCAN_IDLE_S: Final = 5.0
SCAN_KEPT_S: Final = 60
"""A scan's pull: messages, life, the heartbeat that tells an idle consumer from one that is gone, and how long the
server keeps the consumer of a reader that is gone."""

OBJECT_CHUNK_BYTES: Final = 128 * 1024
OBJECT_TIMEOUT_S: Final = 20.0
"""The object store's usual chunk, far below the server's `max_payload`, and the time for a whole value."""

# --- the client --------------------------------------------------------------------------------
READ_AGAIN_S: Final = 10.0
"""A run that somebody waits for is read again after this time without a notice (R19)."""

WAIT_SWEEP_S: Final = 1.0
WAIT_SWEEP_READS_MAX: Final = 1_000
"""Runs read again per sweep: a hundred thousand waiting runs are a trickle of reads, never a burst."""

LISTEN_IDLE_S: Final = 60.0
"""A subscription to a workflow's ends is kept this long without a waiter: who starts and waits in turn needs it again."""

REPLICA_LAGS_S: Final = (0.005, 0.02, 0.1, 0.5)
"""Pauses before reading again after a `done` notice that overtook its record on the way to the replica that answers."""

QUERY_PATIENCE_S: Final = 10.0
QUERY_TRY_S: Final = 2.0
QUERY_PAUSE_S: Final = 0.2
"""How long a client asks for the answer to a query, one try of it, and the pause before the next: a run that moves to
another worker is served again within 5 s."""

SEND_TRIES: Final = 3
SEND_PAUSE_S: Final = 0.3
"""A message to a run without an answer is sent again; for some 0.3 s nobody answers for a stream that changes its leader."""

BEATS_LISTEN_S: Final = 1.2
"""In this time each worker has been heard."""

ORDER_TIMEOUT_S: Final = 10.0
"""How long a client waits until a schedule has taken what it was told."""

assert TURN_BYTES_MAX < RECORD_BYTES_MAX
assert 2 * RECORD_BYTES_MAX <= SERVER_PAYLOAD_BYTES_MAX
assert VALUE_INLINE_BYTES_MAX < BODY_BYTES_MAX < RECORD_BYTES_MAX
assert BODY_BYTES_MAX <= TURN_BYTES_MAX
assert RECORDS_WARN < RECORDS_MAX
assert VALUE_BYTES_MAX <= HOOKS_KEPT_BYTES_MAX
assert PARK_RETRY_FIRST_US <= PARK_RETRY_MAX_US
assert 3 * WORK_PROGRESS_S < WORK_ACK_WAIT_S
assert BEAT_S * BEATS_MISSED_MAX < 4
assert PULL_TICK_S < PIN_PULL_EXPIRES_S < PIN_TIMEOUT_S
assert OBJECT_CHUNK_BYTES < RECORD_BYTES_MAX < PUBLISH_BYTES_PENDING_MAX <= UNSENT_BYTES_MAX
assert BEAT_S < BEATS_LISTEN_S
assert KEY_BYTES <= 64
assert SCHEDULE_ID_MAX + len("-20270101T000000_000000Z-012345") <= TOKEN_BYTES_MAX
assert WAIT_SWEEP_S < READ_AGAIN_S
assert QUERY_TRY_S < QUERY_PATIENCE_S
assert STATUS_BYTES_MAX < RECORD_BYTES_MAX // 16
assert GRAPH_VALUE_BYTES <= VALUE_BYTES_MAX
assert GRAPH_ITERATIONS <= GRAPH_ITERATIONS_MAX
assert GRAPH_ACTIVATIONS <= GRAPH_ACTIVATIONS_MAX
assert GRAPH_NAME_CHARS_MAX <= TOKEN_BYTES_MAX
assert 14 * GRAPH_EXPRESSION_DEPTH_MAX < 500
