"""What the tests of `wire` draw their examples from."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pingsock.wire import icmp4, icmp6

octet = st.integers(0, 0xFF)
word = st.integers(0, 0xFFFF)
word24 = st.integers(0, 0xFFFFFF)
long = st.integers(0, 0xFFFFFFFF)
data = st.binary(max_size=80)
address4 = st.binary(min_size=4, max_size=4)
address6 = st.binary(min_size=16, max_size=16)


def _echo(cls: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(cls, word, word, data, octet)


def _extended(request: type[Any], reply: type[Any]) -> st.SearchStrategy[Any]:
    flags = (st.booleans(),) * 3
    return st.builds(request, word, octet, st.booleans(), data, st.integers(0, 127), octet) | st.builds(
        reply, word, octet, octet, st.integers(0, 7), *flags, data, st.integers(0, 3)
    )


icmp4_messages: st.SearchStrategy[icmp4.Icmp4Message] = st.one_of(
    *map(_echo, (icmp4.EchoRequest, icmp4.EchoReply, icmp4.InformationRequest, icmp4.InformationReply)),
    _extended(icmp4.ExtendedEchoRequest, icmp4.ExtendedEchoReply),
    st.builds(icmp4.TimestampRequest, word, word, long, long, long, data, octet),
    st.builds(icmp4.TimestampReply, word, word, long, long, long, data, octet),
    st.builds(icmp4.AddressMaskRequest, word, word, address4, data, octet),
    st.builds(icmp4.AddressMaskReply, word, word, address4, data, octet),
    st.builds(icmp4.DestinationUnreachable, octet, data, word, octet, octet),
    st.builds(icmp4.SourceQuench, data, long, octet),
    st.builds(icmp4.Redirect, octet, address4, data),
    st.builds(icmp4.TimeExceeded, octet, data, octet, word24),
    st.builds(icmp4.ParameterProblem, octet, data, octet, octet, word),
    st.builds(icmp4.Unknown, st.sampled_from([1, 2, 6, 9, 44, 255]), octet, st.binary(min_size=4, max_size=40)),
)

icmp6_messages: st.SearchStrategy[icmp6.Icmp6Message] = st.one_of(
    *map(_echo, (icmp6.EchoRequest, icmp6.EchoReply)),
    _extended(icmp6.ExtendedEchoRequest, icmp6.ExtendedEchoReply),
    st.builds(icmp6.DestinationUnreachable, octet, data, octet, word24),
    st.builds(icmp6.TimeExceeded, octet, data, octet, word24),
    st.builds(icmp6.PacketTooBig, long, data, octet),
    st.builds(icmp6.ParameterProblem, long, data, octet),
    st.builds(icmp6.Redirect, address6, address6, data, long, octet),
    st.builds(icmp6.Unknown, st.sampled_from([0, 5, 135, 255]), octet, st.binary(min_size=4, max_size=40)),
)
