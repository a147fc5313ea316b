"""A course: one target on its way through an engine, with its plan and what has become of it so far."""

from __future__ import annotations

from pingsock.probe.flow import Flow
from pingsock.probe.statistics import Statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import Target


class Course(Flow):
    """The probes of one target that an engine is to send."""

    __slots__ = (
        "due",
        "ended",
        "number",
        "owner",
        "plan",
        "postponed_since",
        "removed",
        "retries",
        "statistics",
        "undecided",
    )

    def __init__(self, target: Target, plan: Plan, payload: bytes, owner: object = None) -> None:
        super().__init__(target, payload)
        self.plan = plan
        self.statistics = Statistics()
        self.owner = owner
        """Whoever entered it; drivers deliver its records there."""
        self.due = 0
        """When its next probe is, or the last one was due."""
        self.number = 0
        """Probes sent or refused."""
        self.undecided = 0
        """Probes that have no outcome yet."""
        self.retries = plan.retries
        """How many are left."""
        self.postponed_since = 0
        """Since when the present probe could not be sent for want of room; 0 if it is not so."""
        self.ended = False
        self.removed = False
        """Ended by whoever entered it, before its plan was fulfilled."""

    @property
    def all_sent(self) -> bool:
        """Whether its plan has no more probes, retries not counted."""
        return 0 < self.plan.count <= self.number

    @property
    def patience_ns(self) -> int:
        """How long the present probe is tried again where there is no room to send it."""
        plan = self.plan
        return plan.timeout_ns if self.number else max(plan.timeout_ns, plan.patience_ns)

    @property
    def wants_retry(self) -> bool:
        """Whether its probes are all decided, none was answered, and there are retries left."""
        answered = self.statistics.received or self.statistics.late
        return self.all_sent and not self.undecided and not answered and self.retries > 0

    @property
    def is_over(self) -> bool:
        """Whether its plan is fulfilled."""
        return self.all_sent and not self.undecided and not self.wants_retry
