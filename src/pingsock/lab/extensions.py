from __future__ import annotations


def extension_structure(node, about, interface, leaving):
    return b""
