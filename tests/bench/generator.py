"""The process that generates the load: ``python -m tests.bench.generator ORDER``; order and answer are JSON.

A measurement is a window in the middle of a load that goes on all the time: the load starts, warms up, then clocks and
counts are read, and read again at the end. Only afterwards does the load stop, and all that is owed must still come.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench.loads import grow
from tests.bench.meter import Meter, waited
from tests.bench.scenarios import SCENARIOS, Order
from tests.bench.wire import Failure, Loop

if TYPE_CHECKING:
    from tests.bench.loads import Load

WARM_UP = 0.5
"""The warm-up, as a part of the window."""
QUIET = 0.05
"""Seconds after the last answer in which nothing more may come."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Clocks and counts at one moment."""

    time: float
    server: float
    generator: float
    server_waited: float
    generator_waited: float
    units: int


def main() -> None:
    order = Order(**json.loads(sys.argv[1]))
    try:
        said = obey(order)
    except Failure as failure:
        said = {"error": str(failure)}
    except OSError as error:
        said = {"error": f"the load generator failed: {error}"}
    print(json.dumps(said))


def obey(order: Order) -> dict[str, Any]:
    """Returns what was measured, as fields of a ``Measurement``. Raises ``Failure``."""
    loop = Loop()
    meter = Meter(order.pid)
    address = order.host, order.port
    make = SCENARIOS[order.scenario].make
    if make is None:
        before, after = grow(loop, address, order.connections, meter, order.seconds)
        return {"memory_before": before, "memory_after": after}
    load = make(loop, address, order.connections)
    # The clients stay, and a search for garbage among them is not what is to be measured.
    gc.collect()
    gc.freeze()
    return drive(load, loop, meter, order.seconds)


def drive(load: Load, loop: Loop, meter: Meter, seconds: float) -> dict[str, Any]:
    """Runs a load, and measures a window of it."""
    load.begin()
    loop.run(seconds * WARM_UP)
    begin = read(load, meter)
    loop.run(seconds)
    # Something has to be finished for a window to tell anything: on a machine that is too slow for that it is longer.
    loop.run_until(lambda: load.units > begin.units, "nothing was finished")
    end = read(load, meter)
    load.stop()
    try:
        loop.run_until(lambda: load.pending == 0, "")
    except Failure as failure:
        raise Failure(str(failure) or f"{load.pending} answers never came") from None
    loop.run(QUIET)
    return {
        "units": end.units - begin.units,
        "seconds": end.time - begin.time,
        "server_cpu": end.server - begin.server,
        "generator_cpu": end.generator - begin.generator,
        "server_waited": end.server_waited - begin.server_waited,
        "generator_waited": end.generator_waited - begin.generator_waited,
    }


def read(load: Load, meter: Meter) -> Reading:
    server = meter.cpu()
    return Reading(
        time=time.monotonic(),
        server=server,
        generator=time.process_time(),
        server_waited=meter.waited(),
        generator_waited=waited(os.getpid()),
        units=load.units,
    )


if __name__ == "__main__":
    main()
