"""Writes docs/api.md from the comments of the .proto files."""

import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from google.protobuf import descriptor_pb2 as d
from grpc_tools import protoc

from docs_pages import filled

SOURCES = Path(__file__).resolve().parent.parent.parent / "proto"

Field = d.FieldDescriptorProto
# Numbers of fields in descriptor.proto, as they stand in the paths of SourceCodeInfo.
MESSAGE, ENUM, SERVICE, MEMBER = 4, 5, 6, 2


def page() -> str:
    """Return the page."""
    files = [file for file in descriptors().file if file.package == "fr_api.v1"]
    services = [text for file in files for text in _services(file)]
    messages = [text for file in files for text in _messages(file)]
    enums = [text for file in files for text in _enums(file)]
    return filled("api", parts="\n".join([*services, "## Messages\n", *messages, "## Enums\n", *enums]))


def descriptors() -> d.FileDescriptorSet:
    """Return the files of the API and those that they import, with their comments."""
    well_known = resources.files("grpc_tools") / "_proto"
    protos = sorted(str(path) for path in (SOURCES / "fr_api").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.bin"
        arguments = [
            "protoc",
            f"-I{SOURCES}",
            f"-I{well_known}",
            "--include_source_info",
            f"--descriptor_set_out={out}",
        ]
        if protoc.main([*arguments, *protos]) != 0:
            raise SystemExit("protoc failed")
        return d.FileDescriptorSet.FromString(out.read_bytes())


def _services(file: d.FileDescriptorProto) -> Iterator[str]:
    comments = comments_of(file)
    for i, service in enumerate(file.service):
        lines = [
            f"## {service.name}\n",
            comments[SERVICE, i],
            "",
            "| call | request | response | |",
            "|---|---|---|---|",
        ]
        for j, method in enumerate(service.method):
            request = ("stream " if method.client_streaming else "") + _link(method.input_type)
            response = ("stream " if method.server_streaming else "") + _link(method.output_type)
            lines.append(f"| `{method.name}` | {request} | {response} | {comments[SERVICE, i, MEMBER, j]} |")
        yield "\n".join(lines) + "\n"


def _messages(file: d.FileDescriptorProto) -> Iterator[str]:
    comments = comments_of(file)
    for i, message in enumerate(file.message_type):
        lines = [f"### {message.name}\n", comments[MESSAGE, i], ""]
        if message.field:
            lines += ["| field | type | |", "|---|---|---|"]
        for j, field in enumerate(message.field):
            comment = comments[MESSAGE, i, MEMBER, j]
            if field.HasField("oneof_index") and not field.proto3_optional:
                comment = f"One of `{message.oneof_decl[field.oneof_index].name}`: {comment}"
            lines.append(f"| `{field.name}` | {_type(field, message)} | {comment} |")
        yield "\n".join(lines) + "\n"


def _enums(file: d.FileDescriptorProto) -> Iterator[str]:
    comments = comments_of(file)
    for i, enum in enumerate(file.enum_type):
        lines = [f"### {enum.name}\n", comments[ENUM, i], "", "| value | |", "|---|---|"]
        lines += [
            f"| `{value.name}` = {value.number} | {comments[ENUM, i, MEMBER, j]} |"
            for j, value in enumerate(enum.value)
        ]
        yield "\n".join(lines) + "\n"


def comments_of(file: d.FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """Return the comment of each place of a file."""
    return {
        tuple(location.path): " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
        if location.leading_comments
    }


def _type(field: Field, message: d.DescriptorProto) -> str:
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{nested.name}"):
            key, value = nested.field
            return f"map<{_name(key)}, {_name(value)}>"
    if field.label == Field.LABEL_REPEATED:
        return f"repeated {_name(field)}"
    return f"optional {_name(field)}" if field.proto3_optional else _name(field)


def _name(field: Field) -> str:
    if field.type in (Field.TYPE_MESSAGE, Field.TYPE_ENUM):
        return _link(field.type_name)
    return Field.Type.Name(field.type).removeprefix("TYPE_").lower()


def _link(type_name: str) -> str:
    name = type_name.removeprefix(".")
    if not name.startswith("fr_api.v1."):
        return name
    short = name.removeprefix("fr_api.v1.")
    return f"[{short}](#{short.lower()})"
