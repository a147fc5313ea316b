"""`ping -N`: the question as it is given on the command line, and the answer as it is shown."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop

from pingsock.cli.arguments import Refused
from pingsock.tools.destination import UnknownHost, resolve
from pingsock.tools.node_query import UNSAID, NodeQuery
from pingsock.wire import node_information
from pingsock.wire.errors import BadPacket
from pingsock.wire.node_information import (
    ADDRESSES_4,
    ADDRESSES_6,
    NAMES,
    NodeName,
    parse_addresses_untrusted,
    parse_names_untrusted,
    parse_node_information_untrusted,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.wire.node_information import NodeInformation

_QUESTIONS = {
    "name": (NAMES, 0),
    "fqdn": (NAMES, 0),
    "ipv6": (ADDRESSES_6, 0),
    "ipv6-all": (ADDRESSES_6, node_information.ALL_ADDRESSES),
    "ipv6-compatible": (ADDRESSES_6, node_information.COMPATIBLE_ADDRESSES),
    "ipv6-global": (ADDRESSES_6, node_information.GLOBAL_ADDRESSES),
    "ipv6-linklocal": (ADDRESSES_6, node_information.LINK_LOCAL_ADDRESSES),
    "ipv6-sitelocal": (ADDRESSES_6, node_information.SITE_LOCAL_ADDRESSES),
    "ipv4": (ADDRESSES_4, 0),
    "ipv4-all": (ADDRESSES_4, node_information.ALL_ADDRESSES),
}
"""Word -> what is asked for, and the flag that narrows or widens it."""
_SUBJECT_FAMILIES = {"subject-ipv6": AF_INET6, "subject-ipv4": AF_INET}
_SUBJECT_TYPES = {
    "subject-ipv6": node_information.SUBJECT_IS_ADDRESS_6,
    "subject-ipv4": node_information.SUBJECT_IS_ADDRESS_4,
    "subject-name": node_information.SUBJECT_IS_NAME,
    "subject-fqdn": node_information.SUBJECT_IS_NAME,
}


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
        if query.wanted not in (UNSAID, wanted):
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
    labels = tuple(label.encode() for label in value.partition("%")[0].lower().rstrip(".").split("."))
    is_whole = word == "subject-fqdn" or (word == "subject-name" and len(labels) > 1)
    try:
        return NodeName(labels, is_whole).to_bytes()
    except BadPacket as error:
        raise Refused(f"inappropriate subject name: {value}", 1) from error


def answer_text(message: bytes) -> str:
    """What stands behind "bytes from HOST:" of a reply of ours, which are whole."""
    reply = parse_node_information_untrusted(message)
    sequence = int.from_bytes(reply.nonce[:2], "big")
    return f"{_answer(reply)}; seq={sequence};"


def _answer(reply: NodeInformation) -> str:
    if reply.code == node_information.REFUSED:
        return " refused"
    if reply.code == node_information.UNKNOWN:
        return " unknown"
    if reply.code != node_information.SUCCESS:
        return f" unknown code({reply.code:02x})"
    if reply.wanted == NAMES:
        return _names(reply.data)
    if reply.wanted in (ADDRESSES_4, ADDRESSES_6):
        return _addresses(reply)
    return f" unknown qtype(0x{reply.wanted:02x})"


def _addresses(reply: NodeInformation) -> str:
    family = AF_INET if reply.wanted == ADDRESSES_4 else AF_INET6
    addresses, is_all = parse_addresses_untrusted(reply.wanted, reply.data)
    told = _listed([inet_ntop(family, address) for address in addresses], is_all)
    return told + (" (truncated)" if reply.flags & node_information.TRUNCATED else "")


def _names(data: bytes) -> str:
    try:
        names, is_all = parse_names_untrusted(data)
    except BadPacket:
        return " parse error (too short)"
    return _listed([_name_text(name) for name in names], is_all)


def _listed(texts: list[str], is_all: bool) -> str:
    return ",".join(f" {text}" for text in (*texts, *([] if is_all else ["parse error (truncated)"])))


def _name_text(name: NodeName) -> str:
    text = ".".join("".join(map(_printable, label)) for label in name.labels)
    return text + ("." if name.is_whole else "")


def _printable(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"
