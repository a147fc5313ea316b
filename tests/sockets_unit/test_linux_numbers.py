"""Every number and layout of `pingsock.wire.linux`, against the headers of the C library and the kernel."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pingsock.wire import linux

if TYPE_CHECKING:
    from collections.abc import Callable

    Print = Callable[[tuple[str, ...], dict[str, str]], dict[str, int]]

HEADERS = {
    "the C library": ("sys/socket.h", "netinet/in.h", "netinet/icmp6.h"),
    "the kernel": (
        "asm/socket.h",
        "linux/in.h",
        "linux/in6.h",
        "linux/ipv6.h",
        "linux/icmp.h",
        "linux/icmpv6.h",
        "linux/errqueue.h",
        "linux/net_tstamp.h",
        "linux/sock_diag.h",
        "linux/filter.h",
        "linux/time_types.h",
    ),
}

NEWER = {
    "SOF_TIMESTAMPING_OPT_ID_TCP": (6, 2),
    "IP_LOCAL_PORT_RANGE": (6, 3),
    "IP_PROTOCOL": (6, 4),
    "SO_PASSPIDFD": (6, 5),
    "SO_PEERPIDFD": (6, 5),
    "SCM_TS_OPT_ID": (6, 13),
    "SOF_TIMESTAMPING_OPT_RX_FILTER": (6, 13),
    "SO_RCVPRIORITY": (6, 14),
    "SOF_TIMESTAMPING_TX_COMPLETION": (6, 15),
    "SO_PASSRIGHTS": (6, 16),
}
"""Names that headers from before that Linux cannot know."""

RESERVED = {"IPV6_USE_MIN_MTU"}
"""Named only in a comment of linux/in6.h."""

OTHER_NAMES = {"MSG_PROBE": "MSG_PROXY"}
"""What the kernel's own name is called in the C library."""

STRUCTURES = {
    "IN_PKTINFO_LAYOUT": ("in_pktinfo", "ipi_ifindex ipi_spec_dst ipi_addr"),
    "IN6_PKTINFO_LAYOUT": ("in6_pktinfo", "ipi6_addr ipi6_ifindex"),
    "IP_MREQN_LAYOUT": ("ip_mreqn", "imr_multiaddr imr_address imr_ifindex"),
    "IPV6_MREQ_LAYOUT": ("ipv6_mreq", "ipv6mr_multiaddr ipv6mr_ifindex"),
    "SOCK_EXTENDED_ERR_LAYOUT": (
        "sock_extended_err",
        "ee_errno ee_origin ee_type ee_code ee_pad ee_info ee_data",
    ),
    "SOCK_EE_DATA_RFC4884_LAYOUT": ("sock_ee_data_rfc4884", "len flags reserved"),
    "SOCKADDR_IN_LAYOUT": ("sockaddr_in", "sin_family sin_port sin_addr"),
    "SOCKADDR_IN6_LAYOUT": ("sockaddr_in6", "sin6_family sin6_port sin6_flowinfo sin6_addr sin6_scope_id"),
    "SCM_TIMESTAMPING_LAYOUT": (
        "scm_timestamping",
        "ts[0].tv_sec ts[0].tv_nsec ts[1].tv_sec ts[1].tv_nsec ts[2].tv_sec ts[2].tv_nsec",
    ),
    "SCM_TIMESTAMPING_NEW_LAYOUT": (
        "scm_timestamping64",
        "ts[0].tv_sec ts[0].tv_nsec ts[1].tv_sec ts[1].tv_nsec ts[2].tv_sec ts[2].tv_nsec",
    ),
    "TIMEVAL_LAYOUT": ("__kernel_old_timeval", "tv_sec tv_usec"),
    "TIMESPEC_LAYOUT": ("__kernel_old_timespec", "tv_sec tv_nsec"),
    "TIMEVAL_NEW_LAYOUT": ("__kernel_sock_timeval", "tv_sec tv_usec"),
    "TIMESPEC_NEW_LAYOUT": ("__kernel_timespec", "tv_sec tv_nsec"),
    "UCRED_LAYOUT": ("ucred", "pid uid gid"),
    "SOCK_FILTER_LAYOUT": ("sock_filter", "code jt jf k"),
    "SOCK_FPROG_LAYOUT": ("sock_fprog", "len filter"),
}

NUMBERS = {name: number for name, number in vars(linux).items() if name.isupper() and isinstance(number, int)}
EXPRESSIONS = {name: OTHER_NAMES.get(name, name) for name in NUMBERS}
LAYOUTS = {name: layout for name, layout in vars(linux).items() if name.endswith("_LAYOUT")}


@pytest.fixture
def printed(tmp_path: Path) -> Print:
    """Prints C expressions as one set of headers understands them; those with undeclared names are left out."""
    if shutil.which("gcc") is None:
        pytest.skip("needs a C compiler: install gcc and libc6-dev")
    if not Path("/usr/include/linux/errqueue.h").exists():
        pytest.skip("needs the kernel's headers: install linux-libc-dev")

    def print_known(headers: tuple[str, ...], expressions: dict[str, str]) -> dict[str, int]:
        undeclared = set(re.findall(r"'(\w+)' undeclared", compiled(tmp_path, headers, expressions)))
        known = {name: text for name, text in expressions.items() if text not in undeclared}
        complaints = compiled(tmp_path, headers, known)
        assert not complaints, complaints
        output = subprocess.run([tmp_path / "numbers"], capture_output=True, text=True, check=True).stdout
        pairs = (line.rpartition(" ") for line in output.splitlines())
        return {name: int(number) for name, _, number in pairs}

    return print_known


def compiled(folder: Path, headers: tuple[str, ...], expressions: dict[str, str]) -> str:
    """Compile a program that prints the expressions; the compiler's complaints."""
    includes = "".join(f"#include <{header}>\n" for header in ("stdio.h", "time.h", "linux/version.h", *headers))
    lines = "".join(f'printf("{name} %lld\\n", (long long)({text}));\n' for name, text in expressions.items())
    source = folder / "numbers.c"
    source.write_text(f"#define _GNU_SOURCE\n{includes}int main(void) {{\n{lines}return 0; }}\n")
    command = ["gcc", "-w", "-fmax-errors=0", "-o", str(folder / "numbers"), str(source)]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stderr


@pytest.mark.parametrize("headers", HEADERS.values(), ids=["c_library", "kernel"])
def test_numbers_are_those_of_the_headers(printed: Print, headers: tuple[str, ...]) -> None:
    values = printed(headers, EXPRESSIONS)
    assert len(values) > 100
    assert values == {name: NUMBERS[name] for name in values}


def test_every_number_is_in_some_header(printed: Print) -> None:
    names = EXPRESSIONS | {"LINUX_VERSION_CODE": "LINUX_VERSION_CODE"}
    known: dict[str, int] = {}
    for headers in HEADERS.values():
        known |= printed(headers, names)
    version = known["LINUX_VERSION_CODE"] >> 16, known["LINUX_VERSION_CODE"] >> 8 & 0xFF
    unverifiable = {name for name, since in NEWER.items() if since > version}
    assert set(NUMBERS) - set(known) - RESERVED <= unverifiable


def test_every_layout_names_its_structure() -> None:
    assert set(STRUCTURES) == set(LAYOUTS)


@pytest.mark.parametrize("name", STRUCTURES)
def test_layouts_are_those_of_the_structures(printed: Print, name: str) -> None:
    structure, fields = STRUCTURES[name]
    headers = HEADERS["the C library" if structure == "ucred" else "the kernel"]
    expressions = {"size": f"sizeof(struct {structure})"}
    for number, field in enumerate(fields.split()):
        expressions[f"offset {number}"] = f"__builtin_offsetof(struct {structure}, {field})"
        expressions[f"length {number}"] = f"sizeof(((struct {structure} *)0)->{field})"
    assert printed(headers, expressions) == measured(LAYOUTS[name])


def measured(layout: str) -> dict[str, int]:
    """Size of a `struct` format, offset and length of each field."""
    facts = {"size": struct.calcsize(layout)}
    order, codes = layout[0], re.sub(r"(\d+)([a-rt-wyzA-Z])", lambda found: found[2] * int(found[1]), layout[1:])
    seen = order
    number = 0
    for code in re.findall(r"\d*[a-zA-Z]", codes):
        seen += code
        if code.endswith("x"):
            continue
        length = struct.calcsize(order + code)
        facts |= {f"offset {number}": struct.calcsize(seen) - length, f"length {number}": length}
        number += 1
    return facts
