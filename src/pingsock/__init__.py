"""ICMP sockets for everyone: ping sockets, the layer they are made of, and programs that use them."""

from __future__ import annotations

__version__ = "0.1.0"
