"""Answers over HTTP: every call of the API with one answer as JSON or protobuf, by the Connect protocol.

It is a client of the gRPC API like any other: it sends the key of each caller, and has none of its own.
https://connectrpc.com/docs/protocol describes the protocol.
"""
