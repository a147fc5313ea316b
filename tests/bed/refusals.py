"""Networks that refuse, one way for each way there is, as the networks for whole programs have them.

The router rejects what goes to 10.77.3.N and fd77:3::N, N being an index of `REJECTIONS`, and swallows the rest of
those networks; the client has a route that refuses to 10.77.N.0/24 and fd77:N::/64 for each N of `BAD_ROUTES`.
"""

from __future__ import annotations

BAD_ROUTES = {7: "unreachable", 8: "prohibit", 9: "blackhole"}
# By firewall rules, since rejecting routes have a rate limit that no namespace can change.
REJECTIONS = {
    "ip": [
        "net-unreachable",
        "host-unreachable",
        "prot-unreachable",
        "port-unreachable",
        "net-prohibited",
        "host-prohibited",
        "admin-prohibited",
    ],
    "ip6": ["no-route", "admin-prohibited", "addr-unreachable", "port-unreachable", "policy-fail", "reject-route"],
}
_NETWORKS = {"ip": ("10.77.3.", "0/24", "icmp"), "ip6": ("fd77:3::", "/64", "icmpv6")}


def rejecting_rules() -> list[str]:
    """The router's rules for nft, in the hook `forward`."""
    rules = [
        f"{family} daddr {_NETWORKS[family][0]}{number} reject with {_NETWORKS[family][2]} type {kind};"
        for family, kinds in REJECTIONS.items()
        for number, kind in enumerate(kinds)
    ]
    return rules + [f"{family} daddr {network}{rest} drop;" for family, (network, rest, _) in _NETWORKS.items()]
