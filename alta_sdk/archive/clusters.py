"""Clusters that are joined or started: under which rules, before any task runs.

Ray sends usage statistics by default: they are off before it is imported, and a cluster whose head sends them is
refused. Dask's messages are pickles, so whoever reaches a port of it runs code: without TLS nothing but loopback is
joined. What is started here listens on loopback as far as its engine lets it, and has no dashboard.
"""

import os
import warnings
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from ..errors import EngineError, RuntimeUnavailable
from .extra import require
from .object_store import LOOPBACK

STARTS = 5  # of Ray on this machine: its own patience ends after 30 s, which a busy machine exceeds
HEAD = {"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}}


def join_ray(address: str, workers: int) -> Any:
    """Join Ray at ray://host:port, or start it here ("ray"); return its module. Raises EngineError."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    ray: Any = require("ray", "ray")
    here = {"address": "local", "num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    is_there = "://" in address
    for left in reversed(range(1 if is_there else STARTS)):
        try:
            with warnings.catch_warnings():  # Lance's, of forks: what Ray forks becomes another program at once
                warnings.simplefilter("ignore")
                ray.init(log_to_driver=False, logging_level="ERROR", **({"address": address} if is_there else here))
            break
        except Exception as error:  # its own kinds, of gRPC and of the system
            with suppress(Exception):
                ray.shutdown()
            if not left:
                raise EngineError("Ray is not reached: check the address, that it runs, and its token") from error
    if is_there and ray.get(ray.remote(_reports_usage).options(**HEAD).remote()):
        ray.shutdown()
        raise EngineError("Ray's head reports usage statistics: start it with --disable-usage-stats")
    return ray


def join_dask(address: str, workers: int) -> tuple[Any, Any]:
    """Join Dask at dask://host:port, or start it here ("dask"); return a client and what was started. EngineError."""
    dask: Any = require("distributed", "dask")
    place, cluster = find_scheduler(address) if "://" in address else "", None
    if not place:
        quiet = {"dashboard_address": None, "silence_logs": 50, "host": "127.0.0.1", "threads_per_worker": 1}
        cluster = dask.LocalCluster(n_workers=workers, **quiet)
    try:
        return dask.Client(place or cluster), cluster
    except (OSError, TimeoutError) as error:
        raise EngineError("Dask is not reached: check the address, and that its scheduler runs") from error


def find_scheduler(address: str) -> str:
    """Return a scheduler's address as Dask has it; raise EngineError for one beyond loopback without TLS."""
    place = urlsplit(address)
    has_tls = bool(require("dask.config", "dask").get("distributed.comm.tls.ca-file", None))
    if not has_tls and place.hostname not in LOOPBACK:
        raise EngineError("Dask without TLS lets whoever reaches it run code: set up TLS (distributed.comm.tls)")
    return f"{'tls' if has_tls else 'tcp'}://{place.netloc}"


def _reports_usage() -> bool:
    """Tell, on the head, whether usage statistics are on there.

    Ray has no public call for it, and has moved its own: where neither place has it, the environment must say no.
    """
    for place in ("ray._common.usage.usage_lib", "ray._private.usage.usage_lib"):
        with suppress(RuntimeUnavailable):
            return bool(require(place, "ray").usage_stats_enabled())
    return os.environ.get("RAY_USAGE_STATS_ENABLED") != "0"
