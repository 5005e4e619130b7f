"""A responder that receives and stores, and takes no turns: ``python -m benchmarks.accepting --config.file FILE``.

What it stores waits, as in a storm that comes faster than it can be decided, for a responder on the same store.
"""

import argparse
import asyncio
import gc
import signal
from pathlib import Path

from responder.app import ServeOptions, read_settings
from responder.app.runtime import Runtime
from responder.app.serving import bound
from responder.app.working import opened
from responder.telemetry import Metrics, Redactor, Telemetry, configure_logging


async def _serve(options: ServeOptions) -> None:
    redactor = Redactor()
    configure_logging(options.log_level, options.log_format, redactor)
    runtime = Runtime(options, read_settings(options.config_file, options.flags()), Telemetry(Metrics()), redactor)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with bound(runtime) as web, opened(runtime), web.serving():
        gc.collect()
        gc.freeze()
        await stop.wait()


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config.file", dest="config", type=Path, required=True)
    parser.add_argument("--web.listen-address", dest="listen", required=True)
    parser.add_argument("--log.format", dest="log_format", default="json")
    given = parser.parse_args()
    asyncio.run(_serve(ServeOptions(given.config, (given.listen,), log_format=given.log_format)))


if __name__ == "__main__":
    main()
