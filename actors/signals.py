"""Engine control flow: signals that leave user code at once. They derive from `BaseException` so that user code's
`except Exception` cannot keep them, and they never reach a caller of jetrun.
"""

from __future__ import annotations

from .records import Renewal


class Blocked(BaseException):
    """Ends a fold that holds the loop: raised by the loop's own bound, or into it by the watchdog."""


class CompleteLater(BaseException):
    """Ends an attempt of a step whose result somebody else will give."""


class ContinueAsNew(BaseException):
    """Ends a link of a run's chain: raised by `continue_as_new`, through the workflow's own `finally` blocks."""

    def __init__(self, renewal: Renewal) -> None:
        super().__init__("continue as new")
        self.renewal = renewal
