"""Nobody gets what belongs to somebody else, and nobody sends what they may not."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bed import packets
from bed.bed import FAMILIES, WRONG, Bed, outcome, request
from bed.child import Credentials
from sockets.rules import both_families, each

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.actor import Actor, Found
    from bed.families import Family
    from bed.packets import Seen
    from bed.subject import Subject

USERS = (Credentials(1001, 1001), Credentials(1002, 1002))
SOCKETS_EACH = 3
STEPS = 300


@dataclass
class Player:
    """One socket in the game, and what must have come to it."""

    actor: Actor
    ip: Family
    number: int
    ident: int
    due: list[Found] = field(default_factory=list)


class Game:
    """Sends, answers, errors and noise in random order; the seed makes it the same game every time."""

    def __init__(self, bed: Bed, players: list[Player], seed: int) -> None:
        self.bed, self.players = bed, players
        self.random = random.Random(seed)
        self.underway: list[tuple[Player, Seen]] = []
        self.tokens = 0

    def play(self) -> None:
        moves = [self.ask, self.ask, self.answer, self.fail, self.mislead]
        for _ in range(STEPS):
            self.random.choice(moves)()

    def ask(self) -> None:
        player = self.random.choice(self.players)
        self.tokens += 1
        self.bed.settle()
        message = request(player.ip, b"token %d of %d" % (self.tokens, player.ident))
        player.actor.send(player.number, message, player.ip.name_of(player.ip.far))
        self.underway.append((player, self.bed.one_sent()))

    def _one_underway(self) -> tuple[Player, Seen] | None:
        """A request that went out; it stays, so that it may be answered again."""
        return self.random.choice(self.underway) if self.underway else None

    def answer(self) -> None:
        if chosen := self._one_underway():
            player, seen = chosen
            player.due.append(
                ("reply", self.bed.reply_to(seen, source=self.random.choice([player.ip.far, player.ip.distant])))
            )

    def fail(self) -> None:
        if chosen := self._one_underway():
            player, seen = chosen
            ip = player.ip
            type_, code = self.random.choice([ip.port_unreachable, ip.time_exceeded])
            message = packets.icmp(type_, code, bytes(4), seen.raw)
            self.bed.inject(packets.packet(ip, ip.router, ip.host, message))
            player.due.append(("error", seen.message))

    def mislead(self) -> None:
        """What belongs to nobody: idents nobody has, or those of the other family."""
        ip = self.random.choice(FAMILIES)
        others = [player.ident for player in self.players if player.ip is not ip]
        message = packets.echo(ip.reply, self.random.choice([WRONG, 0, *others]), payload=b"nobody's")
        self.bed.inject(packets.packet(ip, ip.far, ip.host, message))


@each("seed", range(5))
def test_no_reply_or_error_reaches_the_wrong_socket(bed: Bed, seed: int) -> None:
    with contextlib.ExitStack() as stack:
        actors = [stack.enter_context(bed.actor(user)) for user in USERS]
        players = [
            Player(actor, ip, *actor.open(ip)) for _ in range(SOCKETS_EACH) for ip in FAMILIES for actor in actors
        ]
        Game(bed, players, seed).play()
        bed.settle()
        assert all(player.due for player in players)
        for player in players:
            assert sorted(player.actor.collect(player.number)) == sorted(player.due)


@both_families
def test_an_ordinary_user_sends_nothing_but_echo_and_extended_echo_requests(bed: Bed, ip: Family) -> None:
    def try_everything(opened: Callable[[Family], Subject]) -> list[tuple[int, int]]:
        sock = opened(ip)
        name = ip.name_of(ip.far)
        pairs = [(type_, code) for type_ in range(256) for code in range(256)]
        return [pair for pair in pairs if outcome(sock.sendto, bytes(pair) + bytes(6), name) == "OK"]

    permitted = [(ip.request, 0), (ip.extended_request, 0)]
    assert bed.unprivileged(try_everything) == permitted
    assert [(seen.type, seen.code) for seen in bed.sent(2)] == permitted


@both_families
def test_an_ordinary_user_cannot_send_with_a_foreign_ident(bed: Bed, ip: Family) -> None:
    def send(opened: Callable[[Family], Subject]) -> int:
        sock = opened(ip)
        sock.sendto(packets.echo(ip.request, WRONG), ip.name_of(ip.far))
        return int(sock.getsockname()[1])

    assert bed.unprivileged(send) == bed.one_sent().ident
