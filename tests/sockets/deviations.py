"""Where a kind of socket does not keep a rule, by name and with the reason.

The name of a rule is that of its test function, or with the row of its table in brackets:
"an_unknown_error_type_is_not_reported[v4-77]" without the leading "test_". A deviation is expected to fail: the suite
says so if it does not.
"""

from __future__ import annotations

READINESS_ONLY = "the descriptor of a served socket is its readiness channel, not the socket (D1)"
SHARED_ROOM = "packets that wait in a device's queue are charged to the raw socket that all sockets share (D4)"
RAW_UNSPECIFIED = "a raw IPv6 socket of Linux sends to ::1 where :: is given (D5)"
NO_DEVICE_HEADER = "raw sockets and cables give IP packets, without the header of the device (D14)"

_OF_RAW_SOCKETS = {
    "a_full_send_buffer_gives_eagain": SHARED_ROOM,
    "a_socket_with_a_full_send_buffer_is_not_writable": SHARED_ROOM,
    "a_blocking_v4_socket_waits_for_room_as_long_as_the_send_timeout": SHARED_ROOM,
    "a_blocking_v6_socket_does_not_wait_for_room": SHARED_ROOM,
    "the_unspecified_destination_goes_out_by_the_default_route": RAW_UNSPECIFIED,
}
_OF_ALL_SERVED = {
    "read_and_write_work_on_the_descriptor": READINESS_ONLY,
    "ioctl_of_other_sockets_is_unknown": READINESS_ONLY,
    "a_socket_filter_can_load_from_the_header_of_the_device": NO_DEVICE_HEADER,
}

DEVIATIONS: dict[tuple[str, str], str] = {
    **{(kind, rule): why for kind in ("embedded", "served") for rule, why in _OF_RAW_SOCKETS.items()},
    **{(kind, rule): why for kind in ("embedded", "served", "memory") for rule, why in _OF_ALL_SERVED.items()},
}
"""(kind, rule): the reason, with its number in docs/deviations.md."""

NO_NEIGHBOURS = "the cables of the host in memory have no link layer on which a neighbour could keep silent"

ORDINARY = "needs a capability, and to a service every client is an ordinary user (D16)"
NO_PROC_FILE = "a service shows its sockets in its status, not as /proc/net/icmp (D17)"
TOO_MANY = "65,535 connections need more descriptors than a process may have"

_NEED_A_CAPABILITY = (
    "a_source_route_goes_to_its_first_hop",
    "a_source_route_to_0_0_0_0_is_invalid",
    "a_strict_source_route_whose_first_hop_is_not_on_link_finds_no_network",
    "an_empty_name_unbinds_the_device",
    *(
        f"bind_v4_address_with_option[{address}-IP_TRANSPARENT]"
        for address in (
            "0.0.0.1",
            "a neighbour's",
            "class E",
            "foreign",
            "limited broadcast",
            "loopback broadcast",
            "multicast",
            "subnet broadcast",
            "the subnet's zero address",
            "unrouted",
        )
    ),
    *(
        f"extension_headers_are_accepted_and_never_sent[{way}-{header}]"
        for way in ("cmsg", "sticky")
        for header in (
            "IPV6_DSTOPTS",
            "IPV6_HOPOPTS",
        )
    ),
    "force_goes_beyond_the_maximum",
    "ip_options_are_padded_sent_and_shown[an unknown type, odd]",
    "ip_options_are_padded_sent_and_shown[an unknown type]",
    "option[DEBUG 1-v4]",
    "option[DEBUG 1-v6]",
    "option[MARK 77-v4]",
    "option[MARK 77-v6]",
    "option_of_bytes[destination options that are cut]",
    "option_of_bytes[destination options with more behind]",
    "option_of_bytes[destination options]",
    "transparently_bound_to_a_foreign_address_send_uses_it",
    "v4_option[TRANSPARENT 1]",
    "v4_send_accepts_and_does_not_mind[mark]",
    "v4_send_refuses[mark of 1 byte]",
    "v6_send_accepts_and_does_not_mind[destination options]",
    "v6_send_accepts_and_does_not_mind[hop_by_hop options]",
    "v6_send_accepts_and_does_not_mind[mark]",
)
_OF_THE_PROC_FILE = (
    "the_v4_header",
    "the_v6_header",
    "v4_lines_are_padded_to_127_characters",
    "v6_lines_are_not_padded",
    "a_v4_line_of_a_bound_socket",
    "a_v6_line_of_a_bound_socket",
    "a_connected_socket_shows_its_peer_and_port_and_state",
    "a_socket_without_an_ident_is_not_shown",
    "a_closed_socket_is_not_shown",
    "a_socket_is_shown_in_the_file_of_its_family_only",
    "received_bytes_are_charged",
    "drops_are_shown_and_stay_after_reading",
    "the_uid_of_the_creator_is_shown",
    "lines_are_in_the_order_of_buckets_and_the_newest_first_within_one",
    "neighbouring_idents_are_in_neighbouring_buckets",
    "addresses_have_eight_digits_a_word",
)
_OF_ALL_IDENTS = ("65535_is_followed_by_1", "with_all_idents_taken", "an_ident_freed_can_be_had_again")

NOT_APPLICABLE: dict[tuple[str, str], str] = {
    **{("served", rule): ORDINARY for rule in _NEED_A_CAPABILITY},
    **{("served", rule): NO_PROC_FILE for rule in _OF_THE_PROC_FILE},
    **{("served", rule): TOO_MANY for rule in _OF_ALL_IDENTS},
    ("memory", "a_full_send_buffer_gives_eagain"): NO_NEIGHBOURS,
    ("memory", "a_socket_with_a_full_send_buffer_is_not_writable"): NO_NEIGHBOURS,
    ("memory", "a_blocking_v4_socket_waits_for_room_as_long_as_the_send_timeout"): NO_NEIGHBOURS,
    ("memory", "a_blocking_v6_socket_does_not_wait_for_room"): NO_NEIGHBOURS,
    ("memory", "a_neighbour_that_does_not_answer_is_an_icmp_error_of_our_own"): NO_NEIGHBOURS,
}
"""(kind, rule): why the rule says nothing about this kind, or cannot be tried on it."""
