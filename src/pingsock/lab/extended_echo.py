from __future__ import annotations


def extended_echo_reply(node, request, interface):
    raise NotImplementedError
