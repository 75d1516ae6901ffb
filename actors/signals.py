"""Engine control flow: signals that leave workflow code at once. They derive from `BaseException` so that user code's
`except Exception` cannot keep them, and they never reach a caller of jetrun.
"""

from __future__ import annotations


class Halt(BaseException):
    """The run cannot decide further; why stands in the execution's `failure`."""


class Blocked(BaseException):
    """Raised by the watchdog into a fold that holds the loop."""
