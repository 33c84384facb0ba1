"""Proxies of the environment: the local machine is always reached without one, and unusable entries are left out.

Prefect's client, httpx, raises an error at the first proxy or NO_PROXY entry that it cannot parse, even if the request
would not need it. It is therefore asked about each of them first.
"""

import os
import re

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")  # read in any case by the libraries
USABLE = "it has to be http://HOST:PORT, https://HOST:PORT or, with the package socksio, socks5://HOST:PORT"


def spare_loopback() -> list[str]:
    """Exclude the local machine from proxies, and drop proxies and NO_PROXY entries that Prefect's client cannot parse.

    Returns one sentence for each proxy that is dropped. NO_PROXY entries are dropped without one, because no library
    of a run could match them: httpx and requests read host names, IP addresses and networks of IPv4.
    """
    given = [name for name, value in os.environ.items() if name.lower() in PROXIES and value]
    dropped = [name for name in given if not _proxy_parses(os.environ[name])]
    for name in dropped:
        del os.environ[name]
    hosts = re.split(r"[\s,]+", os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "")
    if "*" not in hosts:
        # Brackets belong to URLs; the libraries match the plain address.
        bare = [re.sub(r"^\[(.*)\]$", r"\1", host) for host in hosts if host]
        kept = [host for host in bare if host in LOOPBACK or _host_parses(host)]
        wanted = ",".join(dict.fromkeys([*kept, *LOOPBACK]))
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = wanted
    return [f"the proxy that {name} names is not used: {USABLE}" for name in dropped]


def _proxy_parses(proxy: str) -> bool:
    import httpx  # imported here because it takes a moment, and most environments name no proxy

    try:
        httpx.Client(
            proxy=proxy if "://" in proxy else f"http://{proxy}", trust_env=False, verify=False
        ).close()
    except (ValueError, ImportError, httpx.InvalidURL):
        return False
    return True


def _host_parses(host: str) -> bool:
    """Return whether httpx parses one entry of NO_PROXY; it does so when a client is created."""
    import httpx

    os.environ["no_proxy"] = host
    try:
        httpx.Client(verify=False).close()
    except (ValueError, httpx.InvalidURL):
        return False
    return True
