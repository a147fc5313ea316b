"""Bytes from the network to frozen values and back: no I/O, no clock. Nothing is imported here; take the module needed.

`checksum`      the Internet checksum, alone and with ICMPv6's pseudo-header
`echo`          the echo request as plain bytes, for the start of `ping`
`errors`        `BadPacket`, the only exception the parsers let out
`extensions`    what follows the quoted packet in an error: RFC 4884, MPLS labels, interfaces
`icmp4`         ICMPv4 messages
`icmp6`         ICMPv6 messages
`interfaces`    how an interface is named in extensions: RFC 5837 and RFC 8335
`ipv4`          IPv4 headers
`ipv4_options`  what a host does with IPv4 options
`ipv4_option_values`  IPv4 options as values
`ipv6`          IPv6 headers and the chain of extension headers
`message`       what ICMPv4 and ICMPv6 messages share
`quote`         the packet quoted inside an error
`transit`       a packet between a stack and a link
`types`         every ICMP type and code with its registered name
`value`         frozen records
"""
