"""Recovery: whether work whose worker was lost is run again, and how often.

The rule lives here alone: the options of a step win over those of its workflow, those over the default; none of them mixes
with another's.
"""

from __future__ import annotations

import msgspec

from .errors import DefinitionError
from .limits import RECOVERY_ATTEMPTS, RECOVERY_ATTEMPTS_MAX


class Recovery(msgspec.Struct, frozen=True):
    """What becomes of work whose worker was lost."""

    attempts: int = RECOVERY_ATTEMPTS
    """Times that it is run again; 0 where it fails instead."""

    @property
    def deliveries_max(self) -> int:
        """How often one attempt may be handed out."""
        return self.attempts + 1

    @classmethod
    def build(
        cls, what: str, *, recover_on_worker_loss: bool | None, max_recovery_attempts: int | None
    ) -> Recovery | None:
        """Checks the options of a step or workflow; None where neither is given.

        Args:
            what: Whose they are, as the error shall call it: `step 'charge'`.

        Raises:
            DefinitionError: An option is out of bounds, or the two contradict each other.
        """
        recovers, attempts = recover_on_worker_loss, max_recovery_attempts
        if recovers is not None and not isinstance(recovers, bool):
            raise DefinitionError(f"{what}: recover_on_worker_loss={recovers!r}; use True or False")
        if attempts is None:
            return None if recovers is None else cls(RECOVERY_ATTEMPTS if recovers else 0)
        if not isinstance(attempts, int) or isinstance(attempts, bool) or not 0 <= attempts <= RECOVERY_ATTEMPTS_MAX:
            raise DefinitionError(
                f"{what}: max_recovery_attempts={attempts!r}; use a whole number from 0 (none) to {RECOVERY_ATTEMPTS_MAX}"
            )
        if recovers is False and attempts:
            raise DefinitionError(
                f"{what}: recover_on_worker_loss=False with max_recovery_attempts={attempts}; "
                "what is never run again has no attempts: drop one of the two"
            )
        if recovers is True and not attempts:
            raise DefinitionError(
                f"{what}: recover_on_worker_loss=True with max_recovery_attempts=0; use 1 or more, or drop one of the two"
            )
        return cls(attempts)


DEFAULT = Recovery()


def recovery_of(step: Recovery | None, workflow: Recovery | None) -> Recovery:
    """Returns what holds for a step of a workflow."""
    return step or workflow or DEFAULT
