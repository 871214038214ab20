"""Writes web/fr_web/static/openapi.json: the HTTP interface in OpenAPI 3.1, from the .proto files and their comments."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2 as d

from docs_pages.api import ENUM, MEMBER, MESSAGE, SERVICE, comments_of, descriptors
from fr_core import __version__

Field = d.FieldDescriptorProto
Schema = dict[str, Any]

_PACKAGE = ".fr_api.v1."
_INTRO = """Every call of the API with one answer, by the Connect protocol: POST with JSON (protobuf's JSON mapping), with
protobuf, or as a form whose parts are named by paths such as `probe.image.data`. Calls that stream need gRPC.

A search returns leads for a human examiner, never an identity."""

_INT64 = {"type": ["string", "integer"], "pattern": r"^-?[0-9]{1,20}$"}
_INT32: Schema = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
_UINT32: Schema = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_SCALARS: dict[int, Schema] = {
    Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Field.TYPE_FLOAT: {"type": "number", "format": "float"},
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    Field.TYPE_INT32: _INT32,
    Field.TYPE_SINT32: _INT32,
    Field.TYPE_UINT32: _UINT32,
    Field.TYPE_INT64: {**_INT64, "format": "int64"},
    Field.TYPE_UINT64: {**_INT64, "minimum": 0, "format": "uint64"},
}
_WELL_KNOWN: dict[str, Schema] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$"},
    ".google.protobuf.FieldMask": {"type": "string", "pattern": r"^([a-zA-Z.]+(,[a-zA-Z.]+)*)?$"},
}
_HEADERS: list[Schema] = [
    {
        "name": "Connect-Protocol-Version",
        "in": "header",
        "description": "The version of the protocol, 1. It may be left out.",
        "schema": {"const": "1"},
    },
    {
        "name": "Connect-Timeout-Ms",
        "in": "header",
        "description": "The deadline of the call, in milliseconds.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 10**10 - 1},
    },
]
_QUERY: list[Schema] = [
    {"name": "encoding", "in": "query", "required": True, "schema": {"enum": ["json", "proto"]}},
    {
        "name": "message",
        "in": "query",
        "required": True,
        "description": "The request, such as {} in JSON.",
        "schema": {"type": "string"},
    },
    {
        "name": "base64",
        "in": "query",
        "description": "1 if the message is in the base64 of URLs, as protobuf must be.",
        "schema": {"const": "1"},
    },
]
_ERROR: Schema = {
    "type": "object",
    "description": "A refusal or a failure. Act on `reason` of the detail google.rpc.ErrorInfo; docs/errors.md lists all.",
    "required": ["code", "message", "details"],
    "properties": {
        "code": {"type": "string", "description": "Status code of gRPC in small letters, such as not_found."},
        "message": {"type": "string", "description": "The finding and the remedy, for people."},
        "details": {
            "description": "The reason, and the delay after which to call again where that helps.",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "value"],
                "properties": {
                    "type": {"type": "string", "description": "google.rpc.ErrorInfo, or google.rpc.RetryInfo."},
                    "value": {"type": "string", "description": "The message in protobuf, in base64."},
                    "debug": {"type": "object", "description": "The same in JSON."},
                },
            },
        },
    },
}


def document() -> str:
    """Return the document as JSON."""
    files = [file for file in descriptors().file if file.package == "fr_api.v1"]
    schemas = dict(sorted({name: schema for file in files for name, schema in _schemas(file)}.items()))
    made = {
        "openapi": "3.1.0",
        "info": {
            "title": "FR Core",
            "version": __version__,
            "description": _INTRO,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {}],
        "tags": [
            {"name": s.name, "description": comments_of(f)[SERVICE, i]} for f in files for i, s in enumerate(f.service)
        ],
        "paths": {path: operations for file in files for path, operations in _paths(file)},
        "components": {
            "schemas": {"Error": _ERROR, **schemas},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key, id.secret, or a token (JWT)."}
            },
        },
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _paths(file: d.FileDescriptorProto) -> Iterator[tuple[str, Schema]]:
    comments = comments_of(file)
    for i, service in enumerate(file.service):
        for j, method in enumerate(service.method):
            if method.client_streaming or method.server_streaming:
                continue
            post = _operation(service.name, method, comments[SERVICE, i, MEMBER, j])
            operations = {"post": post}
            if method.options.idempotency_level == d.MethodOptions.NO_SIDE_EFFECTS:
                get = {key: value for key, value in post.items() if key != "requestBody"}
                name = f"{post['operationId']}_GET"
                operations["get"] = {**get, "operationId": name, "parameters": [*_QUERY, *_HEADERS]}
            yield f"/{file.package}.{service.name}/{method.name}", operations


def _operation(service: str, method: d.MethodDescriptorProto, words: str) -> Schema:
    request, response = _reference(method.input_type), _reference(method.output_type)
    return {
        "operationId": f"{service}_{method.name}",
        "tags": [service],
        "summary": re.split(r"(?<=\.)\s", words)[0],
        "description": words,
        "parameters": _HEADERS,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": request},
                "application/proto": {},
                "multipart/form-data": {"schema": _form(method.input_type)},
            },
        },
        "responses": {
            "200": {
                "description": "The answer.",
                "content": {"application/json": {"schema": response}, "application/proto": {}},
            },
            "default": {
                "description": "A refusal or a failure.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }


def _form(type_name: str) -> Schema:
    parts = dict(_parts(type_name, ""))
    maps = {
        f"^{re.escape(path)}\\.": parts.pop(path)["additionalProperties"]
        for path in list(parts)
        if _is_map(parts[path])
    }
    return {"type": "object", "properties": parts, **({"patternProperties": maps} if maps else {})}


def _parts(type_name: str, before: str) -> Iterator[tuple[str, Schema]]:
    """Yield name and schema of the parts of a form: a path for each field, of a list the first entry."""
    message = _messages()[type_name]
    for field in message.field:
        path = f"{before}{field.name}"
        whole = _schema(field, message)
        if _is_map(whole):
            yield path, whole
            continue
        path += ".0" if field.label == Field.LABEL_REPEATED else ""
        if field.type == Field.TYPE_MESSAGE and field.type_name not in _WELL_KNOWN:
            yield from _parts(field.type_name, f"{path}.")
        elif field.type == Field.TYPE_BYTES:
            yield path, {"type": "string", "contentMediaType": "application/octet-stream"}
        elif field.type == Field.TYPE_FLOAT and field.label == Field.LABEL_REPEATED:
            yield path.removesuffix(".0"), {"type": "string", "contentMediaType": "application/json"}
        else:
            yield path, _one(field)


def _is_map(schema: Schema) -> bool:
    return "additionalProperties" in schema


@cache
def _messages() -> dict[str, d.DescriptorProto]:
    return {f".{file.package}.{one.name}": one for file in descriptors().file for one in file.message_type}


def _schemas(file: d.FileDescriptorProto) -> Iterator[tuple[str, Schema]]:
    comments = comments_of(file)
    for i, enum in enumerate(file.enum_type):
        values = [f"- `{value.name}`: {comments[ENUM, i, MEMBER, j]}" for j, value in enumerate(enum.value)]
        words = "\n".join([comments[ENUM, i], "", *values])
        yield enum.name, {"type": "string", "description": words, "enum": [value.name for value in enum.value]}
    for i, message in enumerate(file.message_type):
        fields = {
            field.json_name: _described(field, message, comments[MESSAGE, i, MEMBER, j])
            for j, field in enumerate(message.field)
        }
        yield (
            message.name,
            {
                "type": "object",
                "description": comments[MESSAGE, i],
                "properties": fields,
                "additionalProperties": False,
            },
        )


def _described(field: Field, message: d.DescriptorProto, words: str) -> Schema:
    if field.HasField("oneof_index") and not field.proto3_optional:
        words = f"Only one field of `{message.oneof_decl[field.oneof_index].name}` may be set. {words}"
    return {"description": words, **_schema(field, message)}


def _schema(field: Field, message: d.DescriptorProto) -> Schema:
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{nested.name}"):
            return {"type": "object", "additionalProperties": _one(nested.field[1])}
    return {"type": "array", "items": _one(field)} if field.label == Field.LABEL_REPEATED else _one(field)


def _one(field: Field) -> Schema:
    return _SCALARS[field.type] if field.type in _SCALARS else _reference(field.type_name)


def _reference(type_name: str) -> Schema:
    if type_name in _WELL_KNOWN:
        return _WELL_KNOWN[type_name]
    return {"$ref": f"#/components/schemas/{type_name.removeprefix(_PACKAGE)}"}
