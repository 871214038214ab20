"""The work of a front-end process, from its two file descriptors to its end."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, NoReturn

from fr_core.engine import Engine, Lifeline, build_pipeline, pack_calibration, tile_shapes_of
from fr_core.errors import FrError, ShuttingDown
from fr_server.app import SERVICES, App
from fr_server.ending import log_failure, until
from fr_server.engine import engine_options, open_decoder
from fr_server.memory import freeze_objects, share_heaps
from fr_server.telemetry.logs import configure_logging, describe, log_unhandled
from fr_server.telemetry.open import open_telemetry
from fr_server.workers.heartbeat import BEAT_S, Heartbeat
from fr_server.workers.link_client import Asker, RemoteRawEmbedder, RemoteTileDetector, remote_galleries
from fr_server.workers.messages import Answer, EngineSays, FrontendSays, Refusal, Welcome, Wire
from fr_server.workers.shared_memory import PATIENCE_S

log = logging.getLogger("fr_server.workers")


def main(link: int, memory: int) -> None:
    """Serve until the engine's process says that it is enough, or is gone."""
    of_the_engine = signal.SIGHUP, signal.SIGINT, signal.SIGTERM  # which came blocked; it says RELOAD and STOP
    for number in of_the_engine:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, of_the_engine)
    share_heaps()
    connection: Connection[Any, Any] = Connection(link)
    wire = Wire(connection)
    try:
        welcome = wire.receive()
    except EOFError:
        sys.exit(1)
    configure_logging(welcome.config.telemetry.log_format)
    try:
        asyncio.run(serve(welcome, wire, memory))
    except FrError as error:
        log.error("%s: %s", error.reason, error.message)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the boundary of the process
        log.error("A front-end failed: %s", describe(error))
        sys.exit(1)


async def serve(welcome: Welcome, wire: Wire, memory: int) -> None:
    """Answer calls with the models and the galleries of the process at the other end of a wire."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_unhandled)
    told_to_stop = asyncio.Event()
    config, pack = welcome.config, welcome.pack
    asker = Asker(wire, memory, welcome.arena)
    os.close(memory)
    telemetry = open_telemetry(config.telemetry, SERVICES, bool(config.storage.url))
    pipeline = build_pipeline(
        pack,
        RemoteTileDetector(asker, tile_shapes_of(pack)),
        RemoteRawEmbedder(asker, pack.embedder.embedding_size),
        engine_options(config),
        config.images,
        config.quality,
        telemetry.listener,
        open_decoder(config, telemetry.trust),
    )
    lifeline, loaded = Lifeline(), threading.Event()

    def wait_for_galleries(on_block: Callable[[], None]) -> None:
        wire.send(FrontendSays.LISTENING)
        while not loaded.wait(PATIENCE_S):
            on_block()

    app = App(
        config,
        Engine(
            pack,
            pipeline,
            welcome.device,
            config.model.detection,
            lifeline,
            calibration=pack_calibration(pipeline.model),
        ),
        remote_galleries(asker),
        # What is served, and told but once, is the engine's process's.
        replace(telemetry, metrics=None, metrics_server=None),
        welcome.part,
        None if welcome.loaded else wait_for_galleries,
    )

    def stop() -> None:
        loop.call_soon_threadsafe(told_to_stop.set)

    def reload() -> None:
        asyncio.run_coroutine_threadsafe(app.reload(), loop).add_done_callback(log_failure)

    heartbeat, pongs = Heartbeat(), SimpleQueue[FrontendSays]()

    def ping() -> None:
        heartbeat.heard()
        loop.call_soon_threadsafe(pongs.put, FrontendSays.PONG)  # this shows that the loop is alive

    told = (wire, asker, lifeline, loaded.set, reload, stop, ping)
    threading.Thread(target=listen, args=told, name="engine", daemon=True).start()
    # Not from the loop: it would hang if the engine's process does not read.
    threading.Thread(target=answer_pings, args=(wire, pongs), name="heartbeat", daemon=True).start()
    starting = asyncio.ensure_future(app.start())
    await until(told_to_stop, starting)
    if starting.done():
        freeze_objects()
        wire.send(FrontendSays.READY)
        minding = asyncio.ensure_future(mind_engine(app, heartbeat))
        await until(told_to_stop, asyncio.ensure_future(app.broken()))
        minding.cancel()
    else:
        app.give_up()
        with contextlib.suppress(ShuttingDown):
            await starting
    await app.stop()


async def mind_engine(app: App, heartbeat: Heartbeat) -> None:
    """Refuse calls, and report it in health, while the engine's process is silent."""
    while True:
        await asyncio.sleep(BEAT_S)
        app.engine_answers(not heartbeat.beat())


def answer_pings(wire: Wire, pongs: SimpleQueue[FrontendSays]) -> None:
    """Send what the event loop has queued, until the engine's process ends."""
    with contextlib.suppress(OSError):
        while True:
            wire.send(pongs.get())


def listen(
    wire: Wire,
    asker: Asker,
    lifeline: Lifeline,
    on_loaded: Callable[[], None],
    reload: Callable[[], None],
    stop: Callable[[], None],
    ping: Callable[[], None],
) -> NoReturn:
    """Hear the engine's process; when it is gone, so is this one, whose threads would wait for its answers for ever."""
    try:
        while True:
            match wire.receive():
                case Answer() | Refusal() as message:
                    asker.answered(message)
                case EngineSays.GALLERIES_ARE_READ:
                    on_loaded()
                case EngineSays.RELOAD:
                    reload()
                case EngineSays.DEVICE_IS_LOST:
                    lifeline.cut()
                case EngineSays.STOP:
                    stop()
                case EngineSays.PING:
                    ping()
                case message:
                    raise TypeError(f"the engine's process sent a {type(message).__name__}")
    except EOFError:
        log.error("The engine's process is gone; this front-end ends")
    except Exception as error:  # noqa: BLE001 - the boundary of the process
        log.error("A front-end failed: %s", describe(error))
    os._exit(1)
