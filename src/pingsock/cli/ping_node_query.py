"""`ping -N`: the question as it is given on the command line, and the answer as it is shown."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop

from pingsock.cli.arguments import Refused
from pingsock.tools import node_query
from pingsock.tools.destination import UnknownHost, resolve
from pingsock.tools.node_query import NodeQuery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.tools.node_query import NodeReply

_QUESTIONS = {
    "name": (node_query.NAMES, 0),
    "fqdn": (node_query.NAMES, 0),
    "ipv6": (node_query.ADDRESSES_6, 0),
    "ipv6-all": (node_query.ADDRESSES_6, 2),
    "ipv6-compatible": (node_query.ADDRESSES_6, 4),
    "ipv6-global": (node_query.ADDRESSES_6, 32),
    "ipv6-linklocal": (node_query.ADDRESSES_6, 8),
    "ipv6-sitelocal": (node_query.ADDRESSES_6, 16),
    "ipv4": (node_query.ADDRESSES_4, 0),
    "ipv4-all": (node_query.ADDRESSES_4, 2),
}
"""Word -> what is asked for, and the flag that narrows or widens it (RFC 4620, sections 6.3 and 6.4)."""
_SUBJECT_FAMILIES = {"subject-ipv6": AF_INET6, "subject-ipv4": AF_INET}
_SUBJECT_TYPES = {
    "subject-ipv6": node_query.SUBJECT_IS_ADDRESS_6,
    "subject-ipv4": node_query.SUBJECT_IS_ADDRESS_4,
    "subject-name": node_query.SUBJECT_IS_NAME,
    "subject-fqdn": node_query.SUBJECT_IS_NAME,
}
_LONGEST_LABEL = 63
_POINTER = 0xC0
_TTL_BYTES = 4
_MOST_LABELS = 128


class NodeQueryHelp(Refused):
    """The words -N knows are to be shown, on standard output if they were asked for."""

    def __init__(self, *, asked: bool, before: str = "", warning: str = "") -> None:
        super().__init__("", 0 if asked else 2)
        self.asked = asked
        self.before = before
        """A line for standard output that says what was wrong, where iputils writes it there."""
        self.warning = warning


def help_text() -> str:
    """What can stand behind -N."""
    lines = ["ping -6 -N <nodeinfo opt>", "Help:", "  help", "Query:"]
    lines += [f"  {word}" for word in _QUESTIONS if word != "fqdn"]
    lines += ["Subject:", "  subject-ipv6=addr", "  subject-ipv4=addr", "  subject-name=name", "  subject-fqdn=name"]
    return "\n".join(lines) + "\n"


def add(text: str, query: NodeQuery | None) -> NodeQuery:
    """The question so far with one more option.

    :raises NodeQueryHelp: it is not understood, or in conflict with those before.
    """
    query = query or NodeQuery()
    if text == "help":
        raise NodeQueryHelp(asked=True)
    if text in _QUESTIONS:
        wanted, flag = _QUESTIONS[text]
        if query.wanted not in (-1, wanted):
            raise NodeQueryHelp(asked=False, before="Qtype conflict\n")
        return query.replace(wanted=wanted, flags=query.flags | flag)
    word, mark, value = text.partition("=")
    if not mark or word not in _SUBJECT_TYPES:
        raise NodeQueryHelp(asked=False)
    if query.subject and query.subject_type != _SUBJECT_TYPES[word]:
        raise NodeQueryHelp(asked=False, before="Subject type conflict\n")
    return query.replace(subject_type=_SUBJECT_TYPES[word], subject=_subject(word, value))


def _subject(word: str, value: str) -> bytes:
    if word in _SUBJECT_FAMILIES:
        try:
            return resolve(value, _SUBJECT_FAMILIES[word], strictly=True)[0].packed
        except UnknownHost as unknown:
            raise NodeQueryHelp(asked=False, warning=str(unknown)) from unknown
    labels = [label.encode() for label in value.partition("%")[0].lower().rstrip(".").split(".")]
    if not all(0 < len(label) <= _LONGEST_LABEL for label in labels):
        raise Refused(f"inappropriate subject name: {value}", 1)
    is_whole = word == "subject-fqdn" or (word == "subject-name" and len(labels) > 1)
    # A name without its domain ends with an empty label more (RFC 4620, section 6.2).
    return b"".join(bytes([len(label)]) + label for label in labels) + bytes(1 if is_whole else 2)


def answer_text(message: bytes) -> str:
    """What stands behind "bytes from HOST:" of a reply."""
    reply = node_query.parse_node_reply(message)
    return f"{_answer(reply)}; seq={reply.sequence};"


def _answer(reply: NodeReply) -> str:
    if reply.code == node_query.REFUSED:
        return " refused"
    if reply.code == node_query.UNKNOWN:
        return " unknown"
    if reply.code != node_query.SUCCESS:
        return f" unknown code({reply.code:02x})"
    if reply.wanted == node_query.NAMES:
        return _names(reply.content)
    if reply.wanted in (node_query.ADDRESSES_4, node_query.ADDRESSES_6):
        return _addresses(reply)
    return f" unknown qtype(0x{reply.wanted:02x})"


def _addresses(reply: NodeReply) -> str:
    family, size = (AF_INET, 4) if reply.wanted == node_query.ADDRESSES_4 else (AF_INET6, 16)
    entry = _TTL_BYTES + size
    told = []
    for at in range(0, len(reply.content), entry):
        packed = reply.content[at + _TTL_BYTES : at + entry]
        told.append(f" {inet_ntop(family, packed)}" if len(packed) == size else " parse error (truncated)")
    return ",".join(told) + (" (truncated)" if reply.flags & node_query.TRUNCATED else "")


def _names(content: bytes) -> str:
    if len(content) < _TTL_BYTES:
        return " parse error (too short)"
    told = []
    at = _TTL_BYTES
    while at < len(content):
        name, at = _name_untrusted(content, at)
        if not at:
            told.append(" parse error (truncated)")
            break
        is_part = content[at : at + 1] == b"\0"
        at += is_part
        told.append(f" {name}" + ("" if is_part else "."))
    return ",".join(told)


def _name_untrusted(content: bytes, at: int) -> tuple[str, int]:
    """The domain name at an index, and where it ends; 0 for the latter if it is not whole."""
    labels: list[str] = []
    end = 0
    for _ in range(_MOST_LABELS):
        length = content[at] if at < len(content) else _POINTER - 1
        if length >= _POINTER:
            end = end or at + 2
            at = int.from_bytes(content[at : at + 2], "big") & 0x3FFF
        elif length > _LONGEST_LABEL or at + length >= len(content):
            break
        elif not length:
            return ".".join(labels), end or at + 1
        else:
            labels.append("".join(map(_printable, content[at + 1 : at + 1 + length])))
            at += 1 + length
    return "", 0


def _printable(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"
