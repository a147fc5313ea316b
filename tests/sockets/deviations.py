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

DEVIATIONS: dict[tuple[str, str], str] = {
    ("embedded", "read_and_write_work_on_the_descriptor"): READINESS_ONLY,
    ("memory", "read_and_write_work_on_the_descriptor"): READINESS_ONLY,
    ("embedded", "ioctl_of_other_sockets_is_unknown"): READINESS_ONLY,
    ("memory", "ioctl_of_other_sockets_is_unknown"): READINESS_ONLY,
    ("embedded", "a_full_send_buffer_gives_eagain"): SHARED_ROOM,
    ("embedded", "a_socket_with_a_full_send_buffer_is_not_writable"): SHARED_ROOM,
    ("embedded", "a_blocking_v4_socket_waits_for_room_as_long_as_the_send_timeout"): SHARED_ROOM,
    ("embedded", "a_blocking_v6_socket_does_not_wait_for_room"): SHARED_ROOM,
    ("embedded", "the_unspecified_destination_goes_out_by_the_default_route"): RAW_UNSPECIFIED,
    ("embedded", "a_socket_filter_can_load_from_the_header_of_the_device"): NO_DEVICE_HEADER,
    ("memory", "a_socket_filter_can_load_from_the_header_of_the_device"): NO_DEVICE_HEADER,
}
"""(kind, rule): the reason, with its number in docs/deviations.md."""

NO_NEIGHBOURS = "the cables of the host in memory have no link layer on which a neighbour could keep silent"

NOT_APPLICABLE: dict[tuple[str, str], str] = {
    ("memory", "a_full_send_buffer_gives_eagain"): NO_NEIGHBOURS,
    ("memory", "a_socket_with_a_full_send_buffer_is_not_writable"): NO_NEIGHBOURS,
    ("memory", "a_blocking_v4_socket_waits_for_room_as_long_as_the_send_timeout"): NO_NEIGHBOURS,
    ("memory", "a_blocking_v6_socket_does_not_wait_for_room"): NO_NEIGHBOURS,
    ("memory", "a_neighbour_that_does_not_answer_is_an_icmp_error_of_our_own"): NO_NEIGHBOURS,
}
"""(kind, rule): why the rule says nothing about this kind, or cannot be tried on it."""
