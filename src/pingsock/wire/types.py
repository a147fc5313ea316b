"""ICMP types and codes: every number the registries name, as tables.

Names are those of the IANA registries "ICMP Type Numbers" and "ICMPv6 type Numbers", deprecated assignments included.
"""

from __future__ import annotations

# ICMPv4 types this project handles.
ICMP4_ECHO_REPLY = 0
ICMP4_DESTINATION_UNREACHABLE = 3
ICMP4_SOURCE_QUENCH = 4
ICMP4_REDIRECT = 5
ICMP4_ECHO_REQUEST = 8
ICMP4_TIME_EXCEEDED = 11
ICMP4_PARAMETER_PROBLEM = 12
ICMP4_TIMESTAMP_REQUEST = 13
ICMP4_TIMESTAMP_REPLY = 14
ICMP4_INFORMATION_REQUEST = 15
ICMP4_INFORMATION_REPLY = 16
ICMP4_ADDRESS_MASK_REQUEST = 17
ICMP4_ADDRESS_MASK_REPLY = 18
ICMP4_EXTENDED_ECHO_REQUEST = 42
ICMP4_EXTENDED_ECHO_REPLY = 43

# ICMPv6 types this project handles.
ICMP6_DESTINATION_UNREACHABLE = 1
ICMP6_PACKET_TOO_BIG = 2
ICMP6_TIME_EXCEEDED = 3
ICMP6_PARAMETER_PROBLEM = 4
ICMP6_ECHO_REQUEST = 128
ICMP6_ECHO_REPLY = 129
ICMP6_REDIRECT = 137
ICMP6_NODE_INFORMATION_QUERY = 139
ICMP6_NODE_INFORMATION_REPLY = 140
ICMP6_EXTENDED_ECHO_REQUEST = 160
ICMP6_EXTENDED_ECHO_REPLY = 161

# ICMPv4 destination unreachable codes.
NET_UNREACHABLE = 0
HOST_UNREACHABLE = 1
PROTOCOL_UNREACHABLE = 2
PORT_UNREACHABLE = 3
FRAGMENTATION_NEEDED = 4
SOURCE_ROUTE_FAILED = 5
NET_UNKNOWN = 6
HOST_UNKNOWN = 7
SOURCE_ISOLATED = 8
NET_PROHIBITED = 9
HOST_PROHIBITED = 10
NET_UNREACHABLE_FOR_TOS = 11
HOST_UNREACHABLE_FOR_TOS = 12
COMMUNICATION_PROHIBITED = 13
HOST_PRECEDENCE_VIOLATION = 14
PRECEDENCE_CUTOFF = 15

# ICMPv6 destination unreachable codes.
NO_ROUTE6 = 0
PROHIBITED6 = 1
BEYOND_SCOPE6 = 2
ADDRESS_UNREACHABLE6 = 3
PORT_UNREACHABLE6 = 4
SOURCE_POLICY_FAILED6 = 5
REJECT_ROUTE6 = 6
SOURCE_ROUTING_HEADER_ERROR6 = 7
HEADERS_TOO_LONG6 = 8

# Time exceeded codes, both versions.
TTL_EXCEEDED = 0
REASSEMBLY_TIME_EXCEEDED = 1

ICMP4_TYPE_NAMES = {
    0: "Echo Reply",
    3: "Destination Unreachable",
    4: "Source Quench",
    5: "Redirect",
    6: "Alternate Host Address",
    8: "Echo",
    9: "Router Advertisement",
    10: "Router Solicitation",
    11: "Time Exceeded",
    12: "Parameter Problem",
    13: "Timestamp",
    14: "Timestamp Reply",
    15: "Information Request",
    16: "Information Reply",
    17: "Address Mask Request",
    18: "Address Mask Reply",
    19: "Reserved (for Security)",
    **dict.fromkeys(range(20, 30), "Reserved (for Robustness Experiment)"),
    30: "Traceroute",
    31: "Datagram Conversion Error",
    32: "Mobile Host Redirect",
    33: "IPv6 Where-Are-You",
    34: "IPv6 I-Am-Here",
    35: "Mobile Registration Request",
    36: "Mobile Registration Reply",
    37: "Domain Name Request",
    38: "Domain Name Reply",
    39: "SKIP",
    40: "Photuris",
    41: "Experimental Mobility Protocols",
    42: "Extended Echo Request",
    43: "Extended Echo Reply",
    253: "RFC3692-style Experiment 1",
    254: "RFC3692-style Experiment 2",
    255: "Reserved",
}

_EXTENDED_ECHO_REPLY_CODES = {
    0: "No Error",
    1: "Malformed Query",
    2: "No Such Interface",
    3: "No Such Table Entry",
    4: "Multiple Interfaces Satisfy Query",
}

ICMP4_CODE_NAMES = {
    3: {
        0: "Net Unreachable",
        1: "Host Unreachable",
        2: "Protocol Unreachable",
        3: "Port Unreachable",
        4: "Fragmentation Needed and Don't Fragment was Set",
        5: "Source Route Failed",
        6: "Destination Network Unknown",
        7: "Destination Host Unknown",
        8: "Source Host Isolated",
        9: "Communication with Destination Network is Administratively Prohibited",
        10: "Communication with Destination Host is Administratively Prohibited",
        11: "Destination Network Unreachable for Type of Service",
        12: "Destination Host Unreachable for Type of Service",
        13: "Communication Administratively Prohibited",
        14: "Host Precedence Violation",
        15: "Precedence cutoff in effect",
    },
    5: {
        0: "Redirect Datagram for the Network (or subnet)",
        1: "Redirect Datagram for the Host",
        2: "Redirect Datagram for the Type of Service and Network",
        3: "Redirect Datagram for the Type of Service and Host",
    },
    6: {0: "Alternate Address for Host"},
    9: {0: "Normal router advertisement", 16: "Does not route common traffic"},
    11: {0: "Time to Live exceeded in Transit", 1: "Fragment Reassembly Time Exceeded"},
    12: {0: "Pointer indicates the error", 1: "Missing a Required Option", 2: "Bad Length"},
    40: {
        0: "Bad SPI",
        1: "Authentication Failed",
        2: "Decompression Failed",
        3: "Decryption Failed",
        4: "Need Authentication",
        5: "Need Authorization",
    },
    42: {0: "No Error"},
    43: _EXTENDED_ECHO_REPLY_CODES,
}

ICMP6_TYPE_NAMES = {
    0: "Reserved",
    1: "Destination Unreachable",
    2: "Packet Too Big",
    3: "Time Exceeded",
    4: "Parameter Problem",
    100: "Private experimentation",
    101: "Private experimentation",
    127: "Reserved for expansion of ICMPv6 error messages",
    128: "Echo Request",
    129: "Echo Reply",
    130: "Multicast Listener Query",
    131: "Multicast Listener Report",
    132: "Multicast Listener Done",
    133: "Router Solicitation",
    134: "Router Advertisement",
    135: "Neighbor Solicitation",
    136: "Neighbor Advertisement",
    137: "Redirect Message",
    138: "Router Renumbering",
    139: "ICMP Node Information Query",
    140: "ICMP Node Information Response",
    141: "Inverse Neighbor Discovery Solicitation Message",
    142: "Inverse Neighbor Discovery Advertisement Message",
    143: "Version 2 Multicast Listener Report",
    144: "Home Agent Address Discovery Request Message",
    145: "Home Agent Address Discovery Reply Message",
    146: "Mobile Prefix Solicitation",
    147: "Mobile Prefix Advertisement",
    148: "Certification Path Solicitation Message",
    149: "Certification Path Advertisement Message",
    150: "Experimental Mobility Protocols",
    151: "Multicast Router Advertisement",
    152: "Multicast Router Solicitation",
    153: "Multicast Router Termination",
    154: "FMIPv6 Messages",
    155: "RPL Control Message",
    156: "ILNPv6 Locator Update Message",
    157: "Duplicate Address Request",
    158: "Duplicate Address Confirmation",
    159: "MPL Control Message",
    160: "Extended Echo Request",
    161: "Extended Echo Reply",
    200: "Private experimentation",
    201: "Private experimentation",
    255: "Reserved for expansion of ICMPv6 informational messages",
}

ICMP6_CODE_NAMES = {
    1: {
        0: "no route to destination",
        1: "communication with destination administratively prohibited",
        2: "beyond scope of source address",
        3: "address unreachable",
        4: "port unreachable",
        5: "source address failed ingress/egress policy",
        6: "reject route to destination",
        7: "Error in Source Routing Header",
        8: "Headers too long",
    },
    3: {0: "hop limit exceeded in transit", 1: "fragment reassembly time exceeded"},
    4: {
        0: "erroneous header field encountered",
        1: "unrecognized Next Header type encountered",
        2: "unrecognized IPv6 option encountered",
        3: "IPv6 First Fragment has incomplete IPv6 Header Chain",
        4: "SR Upper-layer Header Error",
        5: "Unrecognized Next Header type encountered by intermediate node",
        6: "Extension header too big",
        7: "Extension header chain too long",
        8: "Too many extension headers",
        9: "Too many options in extension header",
        10: "Option too big",
    },
    138: {0: "Router Renumbering Command", 1: "Router Renumbering Result", 255: "Sequence Number Reset"},
    139: {
        0: "The Data field contains an IPv6 address which is the Subject of this Query",
        1: "The Data field contains a name which is the Subject of this Query, or is empty, as in the case of a NOOP",
        2: "The Data field contains an IPv4 address which is the Subject of this Query",
    },
    140: {
        0: "A successful reply",
        1: "The Responder refuses to supply the answer",
        2: "The Qtype of the Query is unknown to the Responder",
    },
    160: {0: "No Error"},
    161: _EXTENDED_ECHO_REPLY_CODES,
}

ICMP4_ERRORS = frozenset({3, 4, 5, 11, 12})
"""Types that quote the packet they are about (RFC 1122 section 3.2.2)."""

ICMP6_ERRORS = frozenset(range(128))
"""RFC 4443 section 2.1: the high bit of the type tells information from errors."""

ICMP4_REPLY_TO = {8: 0, 13: 14, 15: 16, 17: 18, 42: 43}
"""Request type to the type of its reply."""

ICMP6_REPLY_TO = {128: 129, 160: 161}

NEIGHBOR_STATE_NAMES = {
    0: "Reserved",
    1: "Incomplete",
    2: "Reachable",
    3: "Stale",
    4: "Delay",
    5: "Probe",
    6: "Failed",
}
"""State of a neighbour-table entry in an extended echo reply (RFC 8335 section 3)."""

_AF_INET = 2


def is_error(family: int, icmp_type: int) -> bool:
    """Whether messages of this type report an error; redirects are counted among them on IPv4 only, as the RFCs do.

    `family` is AF_INET, or else AF_INET6.
    """
    return icmp_type in (ICMP4_ERRORS if family == _AF_INET else ICMP6_ERRORS)


def type_name(family: int, icmp_type: int) -> str:
    """The registry's name of a type, e.g. "Time Exceeded"; "type 77" where it has none."""
    return (ICMP4_TYPE_NAMES if family == _AF_INET else ICMP6_TYPE_NAMES).get(icmp_type, f"type {icmp_type}")


def code_name(family: int, icmp_type: int, code: int) -> str:
    """The registry's name of a code within its type; "code 99" where it has none."""
    codes = (ICMP4_CODE_NAMES if family == _AF_INET else ICMP6_CODE_NAMES).get(icmp_type, {})
    return codes.get(code, f"code {code}")


def neighbor_state_name(state: int) -> str:
    """The name RFC 8335 section 3 gives the state field of an extended echo reply."""
    return NEIGHBOR_STATE_NAMES.get(state, f"state {state}")
