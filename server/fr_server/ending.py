"""Waits for the end of a server, and logs why it ends."""

import asyncio
import logging
from concurrent.futures import Future
from typing import Any

import grpc

from fr_core.engine import Engine
from fr_core.errors import InternalError, message
from fr_server.telemetry.logs import describe

log = logging.getLogger("fr_server")


def log_lost_device(engine: Engine) -> None:
    """Log that a device of an engine was lost, and to what, where that is known."""
    cause = engine.lifeline.cause
    log.error(
        "The device %s was lost: every call that needs it fails until a restart%s",
        engine.device.active,
        "" if cause is None else f"; {describe(cause)}",
    )


async def while_writing(*broken: Future[None]) -> None:
    """Wait, as long as no store is broken (`Galleries.broken`); then log why it is, and raise `InternalError`."""
    waiting = [asyncio.wrap_future(one) for one in broken]
    ended, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    try:
        ended.pop().result()
    except Exception as error:
        log.error("What is kept can take no more changes, so the server ends: %s", describe(error))
        raise InternalError(message("error.server.thread_writes_died_log")) from error


async def while_serving(server: grpc.aio.Server, draining: asyncio.Event) -> None:
    """Wait until a server ends; where that was not wanted, log it, and raise `InternalError`.

    The process would live on, and a supervisor that restarts dead processes would not hear of it.
    """
    cause: BaseException | None = None
    try:
        await asyncio.shield(server.wait_for_termination())  # cancelled, it would fail the task that stops the server
    except Exception as error:  # noqa: BLE001 - whatever it is, the server has ended; raised again below
        cause = error
    if not draining.is_set():
        log.error("gRPC takes no more calls, so the server ends%s", "" if cause is None else f": {describe(cause)}")
        raise InternalError(message("error.server.grpc_server_ended_itself")) from cause


async def until(told_to_stop: asyncio.Event, other: asyncio.Future[None]) -> None:
    """Wait until told to stop, or until `other` ends; raises what it ends with."""
    told = asyncio.ensure_future(told_to_stop.wait())
    waiting: set[asyncio.Future[Any]] = {told, other}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if other.done():
        other.result()


def log_failure(done: Future[None] | asyncio.Task[None]) -> None:
    """Log the failure of a reload that nothing waits for."""
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("The certificates could not be reloaded: %s", describe(error))
