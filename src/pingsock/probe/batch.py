"""The batch driver: very many targets, hundreds of packets by one system call, the records of every driver.

Theory of operation
-------------------

Targets stream in, in blocks of packed addresses. Hundreds of a block's probes go out as one group, and their ordinary
replies come back as one `Replies`: neither makes an object for a target. Every other thing that befalls a probe makes
its target a course of the engine, which then retries, waits and decides as it does in every driver. Targets that do not
fit into a block, and plans with more than one probe of each target, are courses from the beginning.

What is under way never exceeds what the receive buffers hold. Where sequence numbers or buffers of a socket are used
up, another socket is opened.
"""

from __future__ import annotations

import errno

from pingsock.probe.batch_channel import BatchChannel
from pingsock.probe.batch_ledger import BatchLedger
from pingsock.probe.batch_profile import CAPACITY, Profile
from pingsock.probe.batch_targets import TargetBlock, blocks_of
from pingsock.probe.blocking import BlockingProber
from pingsock.probe.clock import MILLISECOND, NEVER
from pingsock.probe.engine import NO_ROOM, Engine
from pingsock.probe.outcome import ANSWERED
from pingsock.sockets.bare import KERNEL_KINDS
from pingsock.sockets.mmsg import require_batch_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from pingsock.probe.batch_profile import ReplyBuffers
    from pingsock.probe.batch_replies import Replies
    from pingsock.probe.course import Course
    from pingsock.probe.engine import Lane
    from pingsock.probe.flow import SocketSettings
    from pingsock.probe.records import Record, Stray
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import ProbeOptions, Target
    from pingsock.sockets.choose import PingSocket

MOST_UNDER_WAY = 32768
"""Probes that wait for replies over all sockets, so that what a silent network costs at once stays small."""
_PAUSE = 10 * MILLISECOND
_WARM_UP = 2 * MILLISECOND
_FULL_QUEUE_PAUSE = MILLISECOND
_AT_ONCE = 0
_MOST_LANES = 16
"""Sockets of one prober: 130,000 probes under way, and a million sequence numbers."""
_PROFILES_KEPT = 16
"""Each kind of target has one, with buffers of hundreds of packets; more are made anew."""
_RUNS_AT_ONCE = 4
"""Runs of groups sent, as long as all their replies come at once, before the engine is asked what else is due."""


class BatchEngine(Engine):
    """An engine beside which groups of probes are sent."""

    def __init__(self, *, rate: float = 0.0, summaries: bool = True) -> None:
        super().__init__(rate=rate, summaries=summaries)
        self.streaming = False
        """There are targets that no group has been made of yet."""

    @property
    def busy(self) -> bool:
        """Whether there is anything left to do."""
        return super().busy or self.streaming or any(lane.ledger.waiting for lane in self.lanes)

    def tell_replies(self, replies: Replies) -> None:
        """These replies are what has happened next."""
        happening: Any = (None, replies)
        self._happened.append(happening)

    def allow(self, now: int, most: int) -> int:
        """How many probes the rate allows to send at once now, and count them as sent."""
        if not self._is_paced:
            return most
        count = 0
        while count < most and self._pace.free_at() <= now:
            self._pace.spend(now)
            count += 1
        return count

    def allows_from(self) -> int:
        """When the rate allows the next probe."""
        return self._pace.free_at()

    def lanes_for(self, settings: SocketSettings) -> list[Lane]:
        """The sockets with these settings; the one in use comes first."""
        return self._by_settings.get(settings, [])

    def want_lane(self, settings: SocketSettings, now: int) -> bool:
        """Ask for one more socket with these settings; False if there can be none."""
        if self._is_refused(settings, now) or len(self.lanes) >= _MOST_LANES:
            return False
        if not any(lane.usable_from > now for lane in self.lanes_for(settings)):
            self.wanted = settings
        return True

    def adopt(self, course: Course, due: int) -> None:
        """A course whose first probe was sent in a group, and has no outcome yet."""
        course.due = due
        course.number = course.undecided = 1
        course.statistics.sent += 1
        self.active += 1


class BatchProber(BlockingProber):
    """A prober for one plan and a stream of targets. Use it in a `with` block, or close it.

    `happenings` yields what happens; a `Replies`, without a course, stands for many ordinary replies. `settings` are
    those of `Prober`. NoBatchCalls where there is no sendmmsg(2).
    """

    def __init__(self, targets: Iterable[Target | TargetBlock], plan: Plan, **settings: Any) -> None:
        require_batch_calls()
        super().__init__(rate=plan.rate, **settings)
        self.plan = plan
        self.engine = self._groups_of = BatchEngine(rate=plan.rate, summaries=settings.get("summaries", True))
        self._profiles: dict[tuple[int, ProbeOptions], Profile] = {}
        self._reply_buffers: ReplyBuffers = {}
        self._blocks = blocks_of(targets)
        self._block: TargetBlock | None = None
        self._profile: Profile | None = None
        """How the probes of `_block` look."""
        self._first = 0
        """Number in `_block` of the next target."""
        self._allowed = 0
        """Probes the rate has allowed already."""
        self._paused_until = 0
        self._held = False
        if plan.count == 1:
            self._groups_of.streaming = True
        else:
            self.engine.feed(self._courses())

    def _courses(self) -> Iterator[Course | None]:
        for item in self._blocks:
            for target in _targets_of(item):
                while self._held:
                    yield None
                yield self.course(target, self.plan)

    def hold(self, held: bool) -> None:
        """Begin no more targets while `held`: whoever takes the results has enough of them. For any thread."""
        self._held = held
        if not held:
            self.engine.look_again()

    def turn(self, readable: Iterable[Lane]) -> int:
        """As `Prober.turn`."""
        wake = super().turn(readable)
        if self.engine.wanted is not None:
            return _AT_ONCE
        if self._groups_of.streaming:
            return min(wake, self._groups_wake())
        return wake if self.engine.busy else _AT_ONCE

    def _groups_wake(self) -> int:
        now = self._clock()
        if self._held:
            return NEVER
        if self._profile is None:
            return NEVER if self._is_full() else now
        lanes = self._groups_of.lanes_for(self._profile.settings)
        if not _take_groups(lanes) and self._is_full():
            return NEVER
        room = min((lane.takes_again_at(now) for lane in lanes), default=now)
        return max(room, self._paused_until, self._groups_of.allows_from())

    def _readable(self, nanoseconds: int) -> list[Lane]:
        # Of a single socket that was just sent to it is cheaper to read than to ask whether it can be read.
        waiting = [lane for lane in self.engine.lanes if lane.ledger.waiting]
        if nanoseconds <= 0 and len(waiting) == 1:
            return waiting
        return super()._readable(nanoseconds)

    def _collect(self, lane: Lane) -> bool:
        channel, now = self.channels[lane], self._clock()
        everything = channel.collect()
        # Where no reply is missing none was dropped.
        if lane.ledger.waiting:
            if isinstance(channel, BatchChannel) and lane.ledger.next_deadline() <= now:
                everything = channel.collect(to_the_end=True)
            self.engine.dropped(lane, channel.drops(), self._clock())
        return everything

    # Sending

    def _send(self) -> bool:
        sent_all = super()._send()
        for _ in range(_RUNS_AT_ONCE):
            lane = self._send_some()
            if lane is None:
                return sent_all
            # A socket that will be needed is opened while there is another one to send over.
            if lane.ledger.waiting or self.engine.wanted is not None:
                return False
        return False

    def _send_some(self) -> Lane | None:
        """Send groups, if there are any and room for them; over which lane."""
        now = self._clock()
        if not self._groups_of.streaming or self._held or self._paused_until > now or not self._next_block():
            return None
        block, profile = self._block, self._profile
        assert block is not None
        assert profile is not None
        if not self._has_batch_lanes(profile.settings):
            self._send_singly(block, now)
            return None
        lane, room = self._lane_with_room(profile.settings, len(block) - self._first, now)
        if lane is None:
            return None
        self._allowed = self._allowed or self._groups_of.allow(now, room)
        count = min(room, self._allowed)
        return lane if count and self._send_groups(lane, profile, block, count) else None

    def _send_groups(self, lane: Lane, profile: Profile, block: TargetBlock, count: int) -> bool:
        """Send so many probes of the block, as long as all are answered at once; False if the rest has to wait."""
        ledger, channel = _ledger_of(lane), self.channels[lane]
        assert isinstance(channel, BatchChannel)
        end = self._first + count
        while self._first < end:
            if not self._send_group(ledger, channel, profile, block, min(end - self._first, CAPACITY)):
                return False
            channel.collect()
            # Where no reply is missing none was dropped.
            if ledger.waiting:
                self.engine.dropped(lane, channel.drops(), self._clock())
                break
        return True

    def _is_full(self) -> bool:
        """Whether so much is under way that the next block has to wait for replies and timeouts."""
        under_way = sum(lane.ledger.waiting for lane in self.engine.lanes)
        return self.engine.active >= self._in_flight or under_way >= MOST_UNDER_WAY

    def _next_block(self) -> bool:
        """See that there is a block with targets left; False if there are no more targets, or none for now."""
        while self._block is None or self._first == len(self._block):
            self._block, self._profile, self._first = None, None, 0
            if self._is_full():
                return False
            item = next(self._blocks, None)
            if item is None:
                self._groups_of.streaming = False
                return False
            if isinstance(item, TargetBlock):
                self._block, self._profile = item, self._profile_of(item)
            else:
                self.engine.add(self.course(item, self.plan), self._clock())
        return True

    def _has_batch_lanes(self, settings: SocketSettings) -> bool:
        """Whether sockets with these settings can send groups; not known before there is one."""
        lanes = self._groups_of.lanes_for(settings)
        if not lanes:
            return self._groups_of.want_lane(settings, self._clock())
        return _take_groups(lanes)

    def _send_singly(self, block: TargetBlock, now: int) -> None:
        """Make courses of a block's targets, where groups cannot be sent."""
        while self._first < len(block) and self.engine.active < self._in_flight:
            self.engine.add(self.course(block.target(self._first), self.plan), now)
            self._first += 1

    def _lane_with_room(self, settings: SocketSettings, most: int, now: int) -> tuple[Lane | None, int]:
        """A socket and how many probes it takes now; asks for another one if there is none, or soon will be none."""
        lanes = self._groups_of.lanes_for(settings)
        for _ in lanes:
            room = _room(lanes[0], most, now)
            if room:
                if _ledger_of(lanes[0]).free_numbers_end_soon and not any(_room(lane, 1, now) for lane in lanes[1:]):
                    self._groups_of.want_lane(settings, now)
                return lanes[0], room
            lanes.append(lanes.pop(0))
        self._groups_of.want_lane(settings, now)
        return None, 0

    def _send_group(
        self, ledger: BatchLedger, channel: BatchChannel, profile: Profile, block: TargetBlock, count: int
    ) -> bool:
        """Send so many probes by one call; False if the rest has to wait."""
        profile.fill(block, self._first, count, ledger.next_number)
        begin = self._clock()
        try:
            sent = profile.batch.send(channel.sock.fileno(), 0, count)
        except OSError as error:
            return self._send_failed(channel, block, error.errno or errno.EIO)
        profile.group = ledger.sent_group(block, self._first, sent, begin, self._clock())
        channel.expect(profile)
        self.engine.full_since = 0
        self._first += sent
        self._allowed -= sent
        return True

    def _send_failed(self, channel: BatchChannel, block: TargetBlock, number: int) -> bool:
        """The first probe was not sent. False if the rest has to wait."""
        if channel.explains_failure():
            return True
        now = self._clock()
        if number == errno.EAGAIN:
            self._paused_until = now + _FULL_QUEUE_PAUSE
            return False
        if number == errno.EMSGSIZE and channel.allow_fragments():
            return True
        if number not in NO_ROOM or not self.engine.is_crowded:
            # The engine knows what to do with a probe that is refused, and asks for a permission of its own.
            self.engine.add(self.course(block.target(self._first), self.plan), now)
            self._first += 1
        if number in NO_ROOM:
            self._paused_until = now + _PAUSE
            return False
        return True

    # Courses

    def _admit(self, ledger: BatchLedger, sequence: int) -> Course:
        """A course of one probe of a group."""
        group = ledger.group_of(sequence)
        assert group is not None
        course = self.course(group.block.target(group.number_of(sequence)), self.plan)
        if ledger.probe_states[sequence] == ANSWERED:
            course.number, course.ended = 1, True
        else:
            self._groups_of.adopt(course, ledger.sent_at[sequence])
        return course

    # Opening

    def _profile_of(self, block: TargetBlock) -> Profile:
        key = block.family, block.options
        if key not in self._profiles:
            if len(self._profiles) >= _PROFILES_KEPT:
                self._profiles.clear()
                self._reply_buffers.clear()
            self._profiles[key] = Profile(block, self._payload(block.options), self._reply_buffers)
        return self._profiles[key]

    def _add_lane(self, settings: SocketSettings, sock: PingSocket) -> None:
        if sock.kind not in KERNEL_KINDS:
            super()._add_lane(settings, sock)
            return

        def hear(record: Record | Stray) -> None:
            self.engine.heard(lane, record)

        plan = self.plan
        family, *_, largest = settings
        ledger = BatchLedger(family, self._stepwatch, self.token, plan.timeout_ns, plan.late_window_ns, self._admit)
        try:
            tell = self._groups_of.tell_replies
            channel = BatchChannel(sock, ledger, self._stepwatch, hear, largest, tell, clocks=self._clocks)
            room = channel.reserve(self._in_flight, largest)
        except BaseException:
            sock.close()
            raise
        lane = self.engine.add_lane(settings, ledger, room, self._clock() + _WARM_UP)
        self.channels[lane] = channel
        self._on_open(lane, channel)


def _targets_of(item: Target | TargetBlock) -> Iterable[Target]:
    return item if isinstance(item, TargetBlock) else (item,)


def _take_groups(lanes: Iterable[Lane]) -> bool:
    return all(isinstance(lane.ledger, BatchLedger) for lane in lanes)


def _ledger_of(lane: Lane) -> BatchLedger:
    assert isinstance(lane.ledger, BatchLedger)
    return lane.ledger


def _room(lane: Lane, most: int, now: int) -> int:
    """How many probes of a group the lane takes now."""
    ledger = _ledger_of(lane)
    free = min(most, lane.room - ledger.waiting)
    return ledger.room_for_group(free) if free > 0 and lane.usable_from <= now else 0
