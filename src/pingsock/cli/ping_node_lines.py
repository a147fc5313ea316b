"""What `ping -N` prints: answers of nodes instead of echo replies."""

from __future__ import annotations

from pingsock.cli.ping_lines import Lines
from pingsock.cli.ping_node_query import answer_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.probe.records import EchoReply

_ICMP_HEADER = 8


class NodeLines(Lines):
    """Prints records as lines, what a node answered in its words."""

    def _said(self, record: EchoReply) -> tuple[int, str]:
        message = record.message[_ICMP_HEADER:]
        return len(message), answer_text(message)
