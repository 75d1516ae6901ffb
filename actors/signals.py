"""Engine control flow: signals that leave user code at once. They derive from `BaseException` so that user code's
`except Exception` cannot keep them, and they never reach a caller of jetrun.
"""

from __future__ import annotations


class Blocked(BaseException):
    """Ends a fold that holds the loop: raised by the loop's own bound, or into it by the watchdog."""


class CompleteLater(BaseException):
    """Ends an attempt of a step whose result somebody else will give."""
