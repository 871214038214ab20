"""Finds the Milvus server of a configuration, and refuses what is not safe or does not fit."""

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from fr_core.errors import ConfigInvalid, message
from fr_core.gallery.index.milvus_settings import MILVUS, MilvusSettings
from fr_server.config.folders import secret_of
from fr_server.config.loading import is_loopback
from fr_server.config.tree import Config

# A collection's name in Milvus: letters, digits and _, no digit first; it takes 255, of which the rest needs some 40.
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def milvus_of(config: Config, environ: Mapping[str, str] = os.environ) -> MilvusSettings | None:
    """Return the Milvus server that searches; None with another index.

    Raises `ConfigInvalid`: the address of Milvus, its token, authorities or prefix cannot be used, or its library is
    not there.
    """
    given = config.milvus
    if config.gallery.index != MILVUS:
        return None
    if find_spec("pymilvus") is None:
        raise ConfigInvalid(message("error.config.no_pymilvus"), key="gallery.index")
    _require_safe_uri(given.uri)
    if not _PREFIX.fullmatch(given.collection_prefix):
        raise ConfigInvalid(message("error.config.milvus_prefix"), key="milvus.collection_prefix")
    ca = Path(given.ca).expanduser() if given.ca else None
    if ca is not None and not ca.is_file():
        raise ConfigInvalid(message("error.config.milvus_ca", path=ca), key="milvus.ca")
    return MilvusSettings(
        uri=given.uri,
        token=secret_of("milvus.token", given.token, environ) if given.token else "",
        ca="" if ca is None else str(ca),
        database=given.database,
        prefix=given.collection_prefix,
        kind=given.index,
        search_timeout_s=given.search_timeout_s,
        write_timeout_s=given.write_timeout_s,
    )


def _require_safe_uri(uri: str) -> None:
    """Raise `ConfigInvalid` for an address that is none, holds a password, or is plain beyond this machine."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:  # such as a port that is none
        raise ConfigInvalid(message("error.config.milvus_uri"), key="milvus.uri") from None
    if port == 0 or parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ConfigInvalid(message("error.config.milvus_uri"), key="milvus.uri")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigInvalid(message("error.config.milvus_plain"), key="milvus.uri")
