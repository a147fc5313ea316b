"""Settings of the network, and those a namespace does not tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from pingsock.link import kernel_sysctls
from pingsock.link.kernel_sysctls import KernelSysctls

BUFFERS = ("core.rmem_default", "core.rmem_max", "core.wmem_default", "core.wmem_max")


@pytest.fixture
def nothing_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_sysctls, "_ROOT", str(tmp_path))


def told(name: str) -> int:
    path = Path("/proc/sys/net", name.replace(".", "/"))
    if not path.exists():
        pytest.skip(f"this kernel does not tell {name} in this namespace")
    return int(path.read_text())


@pytest.mark.parametrize("name", BUFFERS)
def test_sizes_of_buffers_are_known_where_they_are_not_told(nothing_told: None, name: str) -> None:
    assert KernelSysctls()[name] == told(name)


def test_other_settings_that_are_not_told_are_unknown(nothing_told: None) -> None:
    sysctls = KernelSysctls()

    assert sysctls.get("ipv4.ip_default_ttl", 7) == 7
    with pytest.raises(KeyError, match="ip_default_ttl"):
        sysctls["ipv4.ip_default_ttl"]


def test_a_setting_of_several_numbers_is_its_first() -> None:
    assert KernelSysctls()["ipv4.ping_group_range"] == int(
        Path("/proc/sys/net/ipv4/ping_group_range").read_text().split()[0]
    )


def test_nothing_stays_open() -> None:
    sysctls = KernelSysctls()
    assert sysctls._files
    sysctls.close()
    assert not sysctls._files
