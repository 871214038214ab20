"""Names a Milvus server and the way it searches; imports no client of Milvus."""

from dataclasses import dataclass, field
from typing import Any

MILVUS = "milvus"
"""The name of the index in the configuration."""

FLAT = "FLAT"

# Index: how it is built and searched, among those that Milvus has for float vectors. Lists and graphs lose mates; these
# are the values that lost fewest at a bearable time, see docs/milvus.md.
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    FLAT: ({}, {}),
    "IVF_FLAT": ({"nlist": 1024}, {"nprobe": 64}),
    "HNSW": ({"M": 32, "efConstruction": 400}, {"ef": 1000}),
}


@dataclass(frozen=True, slots=True)
class MilvusSettings:
    """A Milvus server; several stores may use one, each under names of its own."""

    uri: str  # "https://HOST:PORT", or "http://..." on this machine
    token: str = field(default="", repr=False)  # "USER:PASSWORD" or an API key; "" = none
    ca: str = ""  # PEM file with the authorities of the server's certificate; "" = those of the system
    database: str = ""  # "" = Milvus' own default
    prefix: str = "fr"  # of the names of collections
    kind: str = FLAT  # one of `KINDS`
    search_timeout_s: float = 5.0
    write_timeout_s: float = 60.0
    # Galleries are compacted at most so often after deletions: each time, Milvus writes whole segments anew.
    compact_every_s: float = 600.0
    # Milvus' count of vectors is compared with the truth so often while nothing else is written.
    watch_every_s: float = 30.0
