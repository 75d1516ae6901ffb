"""Refusals: what an event loop offers and a workflow cannot have, with what to use instead."""

from __future__ import annotations

from typing import Final

_IN_A_STEP: Final = "do it in a step: `@step` functions may use threads, sockets and files"
_ON_NATS: Final = "let a message wake the workflow instead: await a hook"
REFUSED: Final = {
    **dict.fromkeys(
        (
            "run_in_executor", "set_default_executor", "getaddrinfo", "getnameinfo", "create_connection", "create_server",
            "create_datagram_endpoint", "create_unix_connection", "create_unix_server", "connect_accepted_socket",
            "start_tls", "sendfile", "sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendall",
            "sock_sendto", "sock_connect", "sock_accept", "sock_sendfile", "connect_read_pipe", "connect_write_pipe",
            "subprocess_shell", "subprocess_exec",
        ),
        _IN_A_STEP,
    ),
    **dict.fromkeys(
        (
            "call_soon_threadsafe", "add_reader", "remove_reader", "add_writer", "remove_writer", "add_signal_handler",
            "remove_signal_handler",
        ),
        _ON_NATS,
    ),
    **dict.fromkeys(
        ("run_forever", "run_until_complete", "stop", "close", "set_debug", "set_task_factory", "set_exception_handler"),
        "the engine runs the loop: await instead",
    ),
}  # fmt: skip
"""The loop's methods, and the second half of the error."""
