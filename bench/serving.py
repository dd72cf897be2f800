"""A side's end of the protocol by which a driver (`harness.py`) times several live processes round by round.

The side loads, warms up and prints one JSON line with `"ready": 1`. Then, for every number n that it reads from
stdin, it runs n steps and prints one JSON line: `t` (wall-clock seconds a step), `ext` (cores used by other processes
meanwhile, or null), `peak` (MB of memory) and whatever the steps counted. A number below 1 ends it. No heavy imports
here.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable


def busy_seconds() -> float | None:
    """CPU seconds that the whole machine has spent since it started; `None` where the system does not say."""
    try:
        with open("/proc/stat") as file:
            ticks = [int(field) for field in file.readline().split()[1:9]]
    except OSError:
        return None
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # all but idle and iowait


def own_seconds() -> float:
    times = os.times()
    return times.user + times.system


def timed(run: Callable[[], dict]) -> dict:
    """Runs once; what `run` counted, with `wall` seconds and `ext` cores used by others."""
    busy, own, start = busy_seconds(), own_seconds(), time.perf_counter()
    counted = run()
    wall = time.perf_counter() - start
    external = None if busy is None else max(0.0, (busy_seconds() - busy - (own_seconds() - own)) / wall)
    return {"wall": wall, "ext": external, **counted}


def serve(steps: Callable[[int], dict], look_up: Callable[[int], dict] | None = None, **facts) -> None:
    """Announces itself with `facts`, then serves.

    Args:
        steps: `steps(n)` runs n steps and returns what it counted.
        look_up: `look_up(n)` tells more of the last n steps, after the clock has stopped.
        facts: what the side says of itself.
    """
    print(json.dumps({"ready": 1, **facts}), flush=True)
    for line in sys.stdin:
        count = int(line)
        if count < 1:
            break
        reply = timed(lambda count=count: steps(count))
        if look_up is not None:
            reply.update(look_up(count))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux
        print(json.dumps({"t": reply.pop("wall") / count, "peak": round(peak), **reply}), flush=True)
