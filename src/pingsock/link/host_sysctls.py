"""Settings of a host in user space: names below `net`, Linux' defaults."""

from __future__ import annotations

import errno

DEFAULTS = {
    "core.rmem_default": 212992,
    "core.rmem_max": 4194304,
    "core.wmem_default": 212992,
    "core.wmem_max": 4194304,
    "ipv4.conf.all.accept_source_route": 0,
    "ipv4.conf.lo.accept_source_route": 1,
    "ipv4.icmp_echo_enable_probe": 0,
    "ipv4.icmp_echo_ignore_all": 0,
    "ipv4.icmp_echo_ignore_broadcasts": 1,
    "ipv4.icmp_ignore_bogus_error_responses": 1,
    "ipv4.ip_default_ttl": 64,
    "ipv4.ip_no_pmtu_disc": 0,
    "ipv4.ip_nonlocal_bind": 0,
    "ipv4.route.min_pmtu": 552,
    "ipv4.route.mtu_expires": 600,
    "ipv6.auto_flowlabels": 1,
    "ipv6.conf.all.hop_limit": 64,
    "ipv6.conf.all.seg6_enabled": 0,
    "ipv6.conf.lo.seg6_enabled": 0,
    "ipv6.icmp.echo_ignore_all": 0,
    "ipv6.icmp.echo_ignore_multicast": 0,
    "ipv6.ip_nonlocal_bind": 0,
    "ipv6.route.mtu_expires": 600,
}

OF_AN_INTERFACE = {"ipv4.conf.{}.accept_source_route": 1, "ipv6.conf.{}.seg6_enabled": 0}
"""Each counts only while the one of "all" is on too."""


class HostSysctls:
    """The settings of one host; only those in DEFAULTS, and OF_AN_INTERFACE for each of its interfaces, exist."""

    def __init__(self) -> None:
        self._values = dict(DEFAULTS)

    def __getitem__(self, name: str) -> int:
        """KeyError if there is no such setting."""
        return self._values[name]

    def __setitem__(self, name: str, value: int | str) -> None:
        """Change a setting, given as a number or its text; KeyError, OSError EINVAL if it is no number."""
        if name not in self._values:
            raise KeyError(name)
        try:
            self._values[name] = int(value)
        except ValueError as err:
            raise OSError(errno.EINVAL, f"{name} is a number, not {value!r}") from err

    def add_interface(self, name: str) -> None:
        """Give an interface its settings."""
        self._values |= {setting.format(name): value for setting, value in OF_AN_INTERFACE.items()}

    def remove_interface(self, name: str) -> None:
        """Take them away again."""
        for setting in OF_AN_INTERFACE:
            self._values.pop(setting.format(name), None)

    def is_on(self, setting: str, interface: str) -> bool:
        """Whether a key of OF_AN_INTERFACE is on for all and for one."""
        return bool(self._values[setting.format("all")] and self._values[setting.format(interface)])
