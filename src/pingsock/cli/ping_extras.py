"""What `ping` can do beyond iputils, each an option with a name: read, checked, and kept for the run."""

from __future__ import annotations

from pingsock.cli.arguments import Refused, real_number
from pingsock.sockets.bare import KERNEL_KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.cli.ping_options import Settings
    from pingsock.sockets.choose import PingSocket

RAW = "raw"
SOCKET_KINDS = (*KERNEL_KINDS, "served", "embedded", RAW)
"""What --socket may force: the kinds of `pingsock.open()`, and the raw socket of `-e 0`."""
TIME_FORMATS = ("iso", "unix")
_SHORTEST_TIMEOUT = 1000
_LONGEST_ROUND_TRIP = 1e9
"""Milliseconds."""
UP, DOWN = "up", "down"
USUAL_COUNTS = {UP: 1, DOWN: 3}
"""Probes in a row that tell the state, unless the user says how many: one lost packet is no host that is down."""
MOST_COUNTED = 0xFFFF


class Extras:
    """What the user asked for by name; what is not asked for is None, False or ""."""

    def __init__(self) -> None:
        self.json = False
        self.iso_times = False
        self.until = ""
        """UP, DOWN, or "": end then."""
        self.until_count = 0
        """Probes in a row that have to say so."""
        self.max_loss: float | None = None
        """Percent."""
        self.max_round_trip: int | None = None
        """Microseconds."""
        self.percentiles = False
        self.socket_kind = ""
        self.colour = False


def of(settings: Settings) -> Extras:
    """The extras of these settings, which they have from now on."""
    if settings.extras is None:
        settings.extras = Extras()
    return settings.extras


# The options


def json(settings: Settings, _text: str) -> None:
    """`--json`."""
    of(settings).json = True


def time(settings: Settings, text: str) -> None:
    """`--time FORMAT`."""
    _check_word("time", text, TIME_FORMATS)
    settings.dates = True
    of(settings).iso_times = text == "iso"


def until_up(settings: Settings, text: str) -> None:
    """`--until-up`, `--until-up=COUNT`."""
    _until(settings, UP, text)


def until_down(settings: Settings, text: str) -> None:
    """`--until-down`, `--until-down=COUNT`."""
    _until(settings, DOWN, text)


def _until(settings: Settings, state: str, text: str) -> None:
    extras = of(settings)
    if extras.until not in ("", state):
        raise Refused("only one of --until-up or --until-down may be used")
    extras.until = state
    extras.until_count = _count(f"until-{state}", text) if text else USUAL_COUNTS[state]


def _count(name: str, text: str) -> int:
    if text.strip("0123456789"):
        raise Refused(f"invalid --{name} value: '{text}'")
    number = int(text.lstrip("0")[:6] or "0")
    if not 1 <= number <= MOST_COUNTED:
        raise Refused(f"invalid --{name} value: '{text}': out of range: 1 <= value <= {MOST_COUNTED}")
    return number


def max_loss(settings: Settings, text: str) -> None:
    """`--max-loss PERCENT`."""
    of(settings).max_loss = _number("max-loss", text, 100.0)


def max_rtt(settings: Settings, text: str) -> None:
    """`--max-rtt MILLISECONDS`."""
    of(settings).max_round_trip = round(_number("max-rtt", text, _LONGEST_ROUND_TRIP) * 1000)


def percentiles(settings: Settings, _text: str) -> None:
    """`--percentiles`."""
    of(settings).percentiles = True


def socket(settings: Settings, text: str) -> None:
    """`--socket KIND`."""
    _check_word("socket", text, SOCKET_KINDS)
    of(settings).socket_kind = text


def color(settings: Settings, _text: str) -> None:
    """`--color`."""
    of(settings).colour = True


def _check_word(name: str, text: str, known: tuple[str, ...]) -> None:
    if text not in known:
        raise Refused(f"invalid --{name} value: '{text}': not one of {', '.join(known)}")


def _number(name: str, text: str, highest: float) -> float:
    number, garbage, _ = real_number(text)
    if not text or garbage:
        raise Refused(f"invalid --{name} value: '{text}'")
    # Not a number is in no range.
    if not 0 <= number <= highest:
        raise Refused(f"invalid --{name} value: '{text}': out of range: 0 <= value <= {highest:.0f}")
    return number


# What follows from them


def check(settings: Settings, extras: Extras) -> None:
    """See whether all that is wanted goes together.

    :raises Refused: it does not.
    """
    if not extras.socket_kind:
        return
    if settings.pair is not None:
        raise Refused("--socket cannot be used together with --timestamp, --info, --mask and --probe")
    if extras.socket_kind != RAW and (settings.ident == 0 or settings.node_query is not None):
        option = "-N" if settings.node_query is not None else "-e 0"
        raise Refused(f"{option} takes a raw socket, not one of kind {extras.socket_kind}")


def timeout(settings: Settings) -> int:
    """Milliseconds after which the silence of a probe is told; 0 is never.

    What -W says; else one interval, and a second at least.
    """
    return settings.linger if settings.linger_given else max(settings.interval, _SHORTEST_TIMEOUT)


def open_socket(kind: str, family: int) -> PingSocket:
    """A ping socket of that kind, which is none of RAW.

    :raises Refused: there is none.
    """
    from pingsock.sockets.choose import open_ping_socket
    from pingsock.sockets.errors import NoPingSocket

    try:
        return open_ping_socket(family, kinds=(kind,))
    except NoPingSocket as refused:
        from pingsock.sockets.diagnosis import diagnose_refusals

        reason = diagnose_refusals(family, refused.refusals).kinds[0].reason
        raise Refused(f"no ping socket of kind {kind} can be had here: {reason}") from refused
