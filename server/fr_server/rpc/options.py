"""gRPC's own limits of what one connection may ask of the server, before any of our code runs.

The names are those of grpc's `include/grpc/impl/channel_arg_names.h`; gRPC says nothing of a name that it does not know
and of a value that it does not take, so tests/fault/test_hostile_http2.py attacks a server with each of them, and
without.
"""

from __future__ import annotations

# Bit n stands for the algorithm of number n; that of 0 is none at all.
_NO_COMPRESSION = 1
_LARGEST = 2**31 - 1


def channel_limits(
    *,
    streams: int = 1024,
    metadata_bytes: int = 16_384,
    handshake_s: float = 5.0,
    idle_s: float = 0.0,
    age_s: float = 86_400.0,
) -> tuple[tuple[str, int], ...]:
    """Return options for `grpc.aio.server`, beside those of messages, pending calls and keepalive.

    Not limited here: the number of connections, which the gateway counts; and the size of a frame, which gRPC lets grow
    with the bandwidth that it measures, and refuses beyond that.

    Args:
        streams: calls of one connection in work or waiting, at least 1; a client holds back what is beyond, and is not
            told OVERLOADED for it.
        metadata_bytes: of all headers of a call, names included, at least 1; a call with more ends with
            RESOURCE_EXHAUSTED, of gRPC, which drops what is too much as it comes.
        handshake_s: seconds, above 0, for a new connection to say that it speaks HTTP/2.
        idle_s: seconds after which a connection without calls is closed; clients connect anew by themselves. 0 = never.
        age_s: seconds, give or take a tenth, after which a connection takes no new calls, so that whoever keeps one for
            ever is asked for a certificate anew. Calls in work go on to their end. 0 = never.

    Raises:
        ValueError: a value is none of these.
    """
    ends = {"grpc.max_connection_idle_ms": idle_s, "grpc.max_connection_age_ms": age_s}
    return (
        ("grpc.max_concurrent_streams", _within(streams)),
        # Both alike: between them gRPC would refuse calls at random.
        ("grpc.max_metadata_size", _within(metadata_bytes)),
        ("grpc.absolute_max_metadata_size", _within(metadata_bytes)),
        # What is compressed is refused unread, so that no small message becomes a large one.
        ("grpc.compression_enabled_algorithms_bitset", _NO_COMPRESSION),
        # No ping is one too many. gRPC would end the connection at the third, but still reads those behind it, and
        # makes its error longer with each: 100,000 of them, 1.7 MB, cost ten seconds of a processor (grpcio 1.85).
        # Answering them costs some hundredths, and a client that does not read the answers is not read any more.
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.server_handshake_timeout_ms", _within(handshake_s * 1000)),
        *((name, _within(after_s * 1000)) for name, after_s in ends.items() if after_s),
    )


def _within(value: float) -> int:
    whole = round(value)
    if not 1 <= whole <= _LARGEST:
        raise ValueError(f"A limit of gRPC is 1 to {_LARGEST}, not {whole}.")
    return whole
