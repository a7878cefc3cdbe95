"""Variables that a platform sets by itself, and that look like settings of ours.

Kubernetes tells every container of every service of its namespace: for one named `matinee` there
are `MATINEE_PORT=tcp://10.0.0.1:80`, `MATINEE_SERVICE_HOST=10.0.0.1`, `MATINEE_SERVICE_PORT=80`
and more, and for one named `matinee-service` `MATINEE_SERVICE_PORT=tcp://10.0.0.1:80`. The address
is that of the load balancer: a process that listens there listens nowhere.
"""

import re
from collections.abc import Mapping

_LINK = re.compile(r"(?:tcp|udp|sctp)://\[?(?P<host>[^/\]]+)\]?:(?P<port>\d+)")


def injected(environment: Mapping[str, str]) -> frozenset[str]:
    """Names of the variables that are a platform's.

    Each service has one that is an address with a scheme. A host or a port with another value than
    this address has was set by somebody, and is none of them.

    Args:
        environment: variables.

    Example:
        >>> sorted(injected({"MATINEE_PORT": "tcp://10.0.0.1:80", "MATINEE_SERVICE_PORT": "80"}))
        ['MATINEE_PORT', 'MATINEE_SERVICE_PORT']
        >>> sorted(injected({"MATINEE_PORT": "tcp://10.0.0.1:80", "MATINEE_SERVICE_PORT": "9000"}))
        ['MATINEE_PORT']
        >>> sorted(injected({"MATINEE_SERVICE_PORT": "80"}))
        []
    """
    found: set[str] = set()
    for link, text in environment.items():
        address = _LINK.fullmatch(text) if link.endswith("_PORT") else None
        if address is None:
            continue
        name = link.removesuffix("_PORT")
        own = {f"{name}_SERVICE_HOST": address["host"], f"{name}_SERVICE_PORT": address["port"]}
        found |= {link, *(one for one, value in own.items() if environment.get(one) == value)}
        more = (f"{name}_PORT_", f"{name}_SERVICE_PORT_")
        found |= {one for one in environment if one.startswith(more)}
    return frozenset(found)
