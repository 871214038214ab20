"""Sets the options of channels, and decides when to call again, for both clients."""

import json
from dataclasses import dataclass

from fr_client.errors import NOT_BEGUN, FrApiError
from fr_client.identity import is_loopback

DEFAULT_TARGET = "localhost:50061"
# Long enough for a large photo on a slow machine.
DEFAULT_TIMEOUT_S = 60.0
# An examination has the photos of its candidates: 30 of 8 MiB, or 250 of 1 MiB.
MAX_ANSWER_BYTES = 256 * 1024 * 1024

# Enough to keep a server of several cores busy, few enough to hold their photos in memory (16 x 8 MiB at most).
DEFAULT_MAX_IN_FLIGHT = 16
# Batches of embeddings, 2 MB each at D = 512: the server works on one of a stream, and has the next when it is done.
# With 1 the server waits for the client; more than 2 are no faster, and leave more unanswered at a failure.
DEFAULT_BATCHES_IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Decides when to call again after the server refused to begin.

    That is only after OVERLOADED, RATE_LIMITED and SHUTTING_DOWN: the server says them before it begins, so it does
    nothing twice. There are `attempts` calls in all. The wait is the server's own, else `first_delay_s`, doubled from
    call to call; if the server asks for more than `max_delay_s`, there is no further call.
    """

    attempts: int = 5
    first_delay_s: float = 0.2
    max_delay_s: float = 10.0

    def delay_s(self, error: FrApiError, attempt: int, jitter: float) -> float | None:
        """Return the seconds to wait before the next call, or None for no further call.

        `attempt` is the number of the failed call, from 1. `jitter` in [0, 1) adds up to a quarter, so that many
        clients do not come back together.
        """
        return self.delay_for(error.reason, error.retry_after_s, attempt, jitter)

    def delay_for(self, reason: str, retry_after_s: float | None, attempt: int, jitter: float) -> float | None:
        """As `delay_s`, for an item of a stream, refused for `reason`."""
        if reason not in NOT_BEGUN or attempt >= self.attempts:
            return None
        asked = self.first_delay_s * 2.0 ** (attempt - 1) if retry_after_s is None else retry_after_s
        if asked > self.max_delay_s:
            return None
        return asked * (1.0 + 0.25 * jitter)


# With several servers, calls go in turn to those whose health is SERVING, so that one that stops gets no more of them
# (gRPC: doc/service_config.md, doc/health-checking.md).
_IN_TURNS = json.dumps({"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}})


# A server that starts again is found soon; gRPC's own pauses grow to two minutes.
_SOON_AGAIN = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2_000))


def names_several(target: str) -> bool:
    """Return whether a target may stand for several servers: "ipv4:HOST:PORT,HOST:PORT", or a name as "dns:///"."""
    return "," in target or target.startswith("dns:///")


def channel_options(target: str) -> list[tuple[str, int | str]]:
    """Return the options of a channel to `target`: room for photos, and no proxy on the way to this very machine."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_send_message_length", -1),  # the server says what is too large
        ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        # Otherwise all clients of a process share one connection, and so one front-end process of the server.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if names_several(target):
        options += [("grpc.service_config", _IN_TURNS), *_SOON_AGAIN]
    if is_loopback(target):
        options.append(("grpc.enable_http_proxy", 0))
    return options
