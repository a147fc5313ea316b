"""The options of `ping` as tables: which there are, and what each does to the settings.

The parsers of values that few people give are in `pingsock.cli.ping_values`, the texts in `pingsock.cli.ping_usage`.
"""

from __future__ import annotations

from pingsock.cli.arguments import OptionReader, Refused, WrongUsage, real_number, whole_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.cli.ping_extras import Extras
    from pingsock.tools.node_query import NodeQuery
    from pingsock.tools.pairs import PairQuery

_LONG_MAX = 2**63 - 1
_INT_MAX = 2**31 - 1
_LONGEST_INTERVAL = _INT_MAX / 1000
_LONGEST_LINGER = (2**32 - 1) / 1_000_000
_SMALLEST_NORMAL = 2.0**-1022
_INFINITY = float("inf")
_AF_INET, _AF_INET6 = 2, 10


class Settings:
    """What the user asked for. Times are whole milliseconds, except the deadline.

    What is None or "" is left to the kernel.
    """

    def __init__(self, family: int = 0) -> None:
        self.family = family
        # What is sent, and when.
        self.count = 0
        self.interval = 1000
        self.interval_given = False
        self.linger = 10_000
        self.linger_given = False
        self.deadline = 0
        """Seconds; 0 is none."""
        self.preload = 1
        self.adaptive = False
        self.flood = False
        self.size = 56
        self.pattern = b""
        """What payloads are filled with; b"" counts."""
        self.node_query: NodeQuery | None = None
        """What is asked of an IPv6 node instead of an echo."""
        self.pair: PairQuery | None = None
        """What is asked instead of an echo, of nodes of either version."""
        # From where, and how.
        self.device: str | None = None
        self.source4 = self.source6 = ""
        self.strict_source = False
        self.ident = -1
        self.hop_limit: int | None = None
        self.traffic_class = 0
        self.flow_label: int | None = None
        self.mark: int | None = None
        self.mtu_discovery: int | None = None
        self.send_buffer = 0
        self.broadcast = self.connect = self.debug = self.dont_route = self.no_loop = False
        self.record_route = False
        self.timestamp_kind: int | None = None
        """IPv4 timestamp option: 0 times, 1 times and addresses, 3 addresses given (RFC 791)."""
        self.user_time = False
        # What is shown.
        self.quiet = self.verbose = self.audible = self.outstanding = self.dates = self.precise = False
        self.numeric = self.always_names = self.version = False
        self.extras: Extras | None = None
        """What iputils does not have."""
        self.notices: list[str] = []
        """Lines for standard output that reading the options brought about."""
        self.warnings: list[str] = []
        self.operands: list[str] = []

    @property
    def has_ip_options(self) -> bool:
        """Whether probes over IPv4 carry IP options, several operands being a source route."""
        return self.record_route or self.timestamp_kind is not None or len(self.operands) > 1

    @property
    def paced(self) -> bool:
        """Whether probes leave at a fixed interval."""
        return bool(self.interval) and not (self.flood or self.adaptive)


if TYPE_CHECKING:
    Apply = Callable[[Settings, str], None]


def _family(wanted: int) -> Apply:
    def apply(settings: Settings, _text: str) -> None:
        if settings.family not in (0, wanted):
            raise Refused("only one -4 or -6 option may be specified")
        settings.family = wanted

    return apply


def _whole(field: str, lowest: int, highest: int) -> Apply:
    def apply(settings: Settings, text: str) -> None:
        setattr(settings, field, whole_number(text, lowest, highest))

    return apply


def _milliseconds(field: str, complaint: str, longest: float) -> Apply:
    def apply(settings: Settings, text: str) -> None:
        seconds, garbage, out_of_range = real_number(text)
        if not text:
            raise Refused(f"{complaint}: ")
        if garbage or out_of_range:
            settings.warnings += [
                f"option argument contains garbage: {garbage}",
                "this will become fatal error in the future",
            ]
        if seconds and not _SMALLEST_NORMAL <= abs(seconds) < _INFINITY:
            raise Refused(f"{complaint}: {text}: Numerical result out of range")
        if not 0 <= seconds <= longest:
            raise Refused(f"{complaint}: {text}")
        setattr(settings, field, int(seconds * 1000))

    return apply


_set_interval = _milliseconds("interval", "bad timing interval", _LONGEST_INTERVAL)


def _interval(settings: Settings, text: str) -> None:
    _set_interval(settings, text)
    settings.interval_given = True


_set_linger = _milliseconds("linger", "bad linger time", _LONGEST_LINGER)


def _linger(settings: Settings, text: str) -> None:
    _set_linger(settings, text)
    settings.linger_given = True


def _no_names(settings: Settings, _text: str) -> None:
    settings.numeric, settings.always_names = True, False


def _flood(settings: Settings, _text: str) -> None:
    settings.flood = settings.numeric = True


def _record_route(settings: Settings, _text: str) -> None:
    if settings.timestamp_kind is not None:
        raise Refused("only one of -T or -R may be used")
    settings.record_route = True


def _usage_wanted(_settings: Settings, _text: str) -> None:
    raise WrongUsage("")


def _seldom(parser: str) -> Apply:
    def apply(settings: Settings, text: str) -> None:
        from pingsock.cli import ping_values  # lazy: most command lines need none of these

        getattr(ping_values, parser)(settings, text)

    return apply


SWITCHES = {
    "3": "precise",
    "a": "audible",
    "A": "adaptive",
    "b": "broadcast",
    "B": "strict_source",
    "C": "connect",
    "d": "debug",
    "D": "dates",
    "H": "always_names",
    "L": "no_loop",
    "O": "outstanding",
    "q": "quiet",
    "r": "dont_route",
    "U": "user_time",
    "v": "verbose",
    "V": "version",
}
"""Letter -> the setting it switches on."""

ACTIONS: dict[str, Apply] = {
    "4": _family(_AF_INET),
    "6": _family(_AF_INET6),
    "f": _flood,
    "h": _usage_wanted,
    "?": _usage_wanted,
    "n": _no_names,
    "R": _record_route,
}
"""Letter without a value -> what it does."""

VALUES: dict[str, Apply] = {
    "c": _whole("count", 1, _LONG_MAX),
    "e": _whole("ident", 0, 0xFFFF),
    "F": _seldom("flow_label"),
    "i": _interval,
    "I": _seldom("interface_or_source"),
    "l": _seldom("preload"),
    "m": _whole("mark", 0, 2**32 - 1),
    "M": _seldom("mtu_discovery"),
    "N": _seldom("node_query"),
    "p": _seldom("pattern"),
    "Q": _seldom("traffic_class"),
    "s": _whole("size", 0, _INT_MAX),
    "S": _whole("send_buffer", 1, _INT_MAX),
    "t": _whole("hop_limit", 0, 255),
    "T": _seldom("timestamp"),
    "w": _whole("deadline", 0, _INT_MAX),
    "W": _linger,
}
"""Letter with a value -> what it does."""


def read_options(arguments: list[str], settings: Settings) -> None:
    """Enter a command line into the settings. The options take effect in their order, so the first bad one is told.

    :raises Refused: with the text and exit status of iputils.
    """
    reader = OptionReader(arguments, SWITCHES.keys() | ACTIONS.keys(), VALUES.keys(), _takes)
    for letter, text in reader:
        if letter in SWITCHES:
            setattr(settings, SWITCHES[letter], True)
        elif len(letter) > 1:
            _apply_long(settings, letter, text)
        else:
            (ACTIONS.get(letter) or VALUES[letter])(settings, text)
    settings.operands = reader.operands


def _takes(name: str) -> int | None:
    from pingsock.cli.ping_long_options import takes  # lazy: only for words that begin with "--"

    return takes(name)


def _apply_long(settings: Settings, name: str, text: str) -> None:
    from pingsock.cli.ping_long_options import apply  # lazy: likewise

    apply(settings, name, text)
