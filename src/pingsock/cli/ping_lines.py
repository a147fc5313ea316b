"""What `ping` prints while it runs, record by record, if it does not flood."""

from __future__ import annotations

import time

from pingsock.cli import ping_texts
from pingsock.probe.outcome import packet_went_on
from pingsock.probe.records import Duplicate, EchoReply, IcmpReport, SendFailure
from pingsock.tools.ping import TIME_BYTES, Corrupted, Unanswered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.cli.output import Output
    from pingsock.cli.ping_options import Settings
    from pingsock.probe.target import SocketAddress
    from pingsock.tools.destination import Destination
    from pingsock.tools.ping import PingRun

_ICMP_HEADER = 8
_IDENT = slice(4, 6)
_AF_INET = 2


class Lines:
    """Prints records as lines. `show` gives an address as it is printed."""

    def __init__(
        self,
        settings: Settings,
        destination: Destination,
        output: Output,
        run: PingRun,
        show: Callable[[SocketAddress], str],
        *,
        marks_duplicates: bool,
        shows_ident: bool,
    ) -> None:
        self._settings = settings
        self._ipv4 = destination.family == _AF_INET
        self._output = output
        self._run = run
        self._show = show
        self._marks_duplicates = marks_duplicates
        self._shows_ident = shows_ident
        self._options: Callable[[bytes], str] | None = None

    def tell(self, record: object) -> None:
        """Print what is to be printed of a record."""
        if isinstance(record, EchoReply):
            self._write(self._reply(record))
        elif isinstance(record, Corrupted):
            self._write(self._reply(record.reply, corrupted=True))
        elif isinstance(record, IcmpReport):
            self._write(self._reported(record))
        elif isinstance(record, SendFailure):
            self._tell_failure(record)
        elif isinstance(record, Unanswered):
            # iputils says this even if it is to be quiet.
            self._output.write(self._date() + f"no answer yet for icmp_seq={record.sequence}\n")

    def closing(self) -> str:
        """What stands behind the summary."""
        return ""

    def _write(self, text: str) -> None:
        if text:
            self._output.write(text)

    def _date(self) -> str:
        return date(self._settings)

    def _reply(self, record: EchoReply, *, corrupted: bool = False) -> str:
        settings = self._settings
        if settings.quiet:
            return ""
        size, said = self._said(record)
        return self._date() + ping_texts.reply(
            size=size,
            source=self._show(record.source),
            said=said,
            ident=int.from_bytes(record.message[_IDENT], "big") if self._shows_ident else -1,
            hop_limit=record.hop_limit,
            microseconds=record.round_trip_ns // 1000 if self._run.timed else None,
            precise=settings.precise,
            truncated=record.truncated,
            duplicate=self._marks_duplicates and isinstance(record, Duplicate) and not corrupted,
            corrupted=corrupted,
            other_source=record.other_source,
            behind=self._behind(record),
        )

    def _said(self, record: EchoReply) -> tuple[int, str]:
        """The size of the message and what it says, apart from its payload."""
        return len(record.message), f" icmp_seq={record.sequence}"

    def _behind(self, record: EchoReply) -> str:
        """What stands behind the line proper: altered payload, bell, IP options."""
        text = ""
        if record.altered_at >= TIME_BYTES:
            payload = record.message[_ICMP_HEADER : _ICMP_HEADER + self._settings.size]
            text = ping_texts.wrong_data(payload, self._run.payload[record.altered_at], record.altered_at)
        if self._settings.audible:
            text += "\a"
        if self._run.reply_options:
            text += self._options_text(self._run.reply_options)
        return text

    def _options_text(self, options: bytes) -> str:
        if self._options is None:
            from pingsock.cli.ip_option_texts import IpOptionTexts  # lazy: only with -R, -T and source routes

            self._options = IpOptionTexts(self._show).text
        return self._options(options)

    def _reported(self, record: IcmpReport) -> str:
        if self._settings.quiet:
            return ""
        from pingsock.cli.icmp_texts import icmp_message  # lazy: only when something failed

        family = record.target.family
        text = icmp_message(family, record.type, record.code, record.info, lambda host: self._show((host, 0)))
        colon = ":" if packet_went_on(record.type, is_ipv4=self._ipv4) else ""
        return f"{self._date()}From {self._show(record.reporter)}{colon} icmp_seq={record.sequence} {text}\n"

    def _tell_failure(self, record: SendFailure) -> None:
        if self._settings.quiet:
            return
        from pingsock.cli.icmp_texts import send_failure  # lazy: only when something failed

        self._output.warn(send_failure(record.target.family, record.errno, record.mtu))


def date(settings: Settings) -> str:
    """What stands before each line with -D and --time, with a blank behind; else ""."""
    if not settings.dates:
        return ""
    if settings.extras is not None and settings.extras.iso_times:
        from pingsock.cli.ping_iso_time import iso_time  # lazy: only with --time iso

        return f"[{iso_time(time.time_ns())}] "
    now = time.time_ns() // 1000
    return f"[{now // 1_000_000}.{now % 1_000_000:06}] "
