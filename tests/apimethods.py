"""Every method of the API, as its descriptors have it."""

from __future__ import annotations

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from fr_api.v1 import (
    access_pb2,
    audit_pb2,
    evaluation_pb2,
    gallery_pb2,
    recognition_pb2,
    review_pb2,
    server_pb2,
    training_pb2,
)

FILES: tuple[FileDescriptor, ...] = tuple(
    module.DESCRIPTOR
    for module in (
        access_pb2,
        audit_pb2,
        evaluation_pb2,
        gallery_pb2,
        recognition_pb2,
        review_pb2,
        server_pb2,
        training_pb2,
    )
)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.services_by_name.values()
    for method in service.methods
}
