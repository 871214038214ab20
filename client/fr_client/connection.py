"""Reads and writes connection files, which hold a server's address, its authority, and a key.

```toml
server = "192.168.1.10:50061"
key = "k3j9x2m4p7q8r1s5.…"
ca = '''
-----BEGIN CERTIFICATE-----
…
-----END CERTIFICATE-----
'''
```

`fr server init` and `fr key create` write them. Anybody with such a file can call the server with its key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from fr_core.reading import read_toml, read_whole

_KEYS = ("server", "key", "ca")
_MAX_BYTES = 256 * 1024  # enough for all certificate authorities of an operating system


@dataclass(frozen=True, slots=True)
class Connection:
    """The content of a connection file: HOST:PORT, a key or token, and authorities in PEM, "" for no encryption."""

    server: str
    key: str = field(default="", repr=False)
    ca: str = ""

    def text(self) -> str:
        """Return the text of the file; raises `ValueError` if `ca` is not PEM."""
        lines = [f"server = {_quoted(self.server)}"]
        if self.key:
            lines.append(f"key = {_quoted(self.key)}")
        if self.ca:
            if "'''" in self.ca:
                raise ValueError("The authorities of the server are not certificates in PEM.")
            lines.append(f"ca = '''\n{self.ca.strip()}\n'''")
        return "\n".join(lines) + "\n"


def read_connection(path: Path) -> Connection:
    """Read a connection file.

    Raises `OSError` if it cannot be read, and `ValueError` if it is none; the sentence repeats nothing of it.
    """
    try:
        raw = read_toml(read_whole(path, _MAX_BYTES).decode("utf-8-sig"), _MAX_BYTES)
    except ValueError as error:
        raise ValueError(f"{path} is not a connection file: it is not TOML.") from error
    unknown = sorted(set(raw) - set(_KEYS))
    if unknown or not isinstance(raw.get("server"), str):
        raise ValueError(f"{path} is not a connection file: it has `server`, `key` and `ca`, and nothing else.")
    if not all(isinstance(raw.get(name, ""), str) for name in _KEYS):
        raise ValueError(f"{path} is not a connection file: its values must be strings.")
    return Connection(raw["server"], raw.get("key", ""), raw.get("ca", ""))


def _quoted(text: str) -> str:
    """Return a basic string of TOML, which has the escapes of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
