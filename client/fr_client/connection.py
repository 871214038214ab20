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

`fr server init` and `fr key create` write them. Instead of `key` and `ca`, a file may name files beside it: `key_file`
and `ca_file`. Anybody with the key can call the server, so only its owner may be able to read the file that holds it.
"""

import errno
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from fr_client.identity import TlsCredentials, tls_credentials
from fr_files.reading import open_to_others, read_toml, read_whole

_BESIDE = {"key": "key_file", "ca": "ca_file"}
_KEYS = {"server", *_BESIDE, *_BESIDE.values()}
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

    def credentials(
        self, path: Path, certificate: Path | None = None, certificate_key: Path | None = None
    ) -> TlsCredentials | None:
        """Return the credentials of TLS, or None for no encryption; messages name the file `path`.

        `certificate` and `certificate_key` are those of `tls_credentials`, whose errors it raises.
        """
        if not self.ca and certificate is None and certificate_key is None:
            return None
        made = tls_credentials(self.ca.encode() or None, certificate, certificate_key)
        return replace(made, trusted=f"the authority in {path}") if self.ca else made


def read_connection(path: Path) -> Connection:
    """Read a connection file, and the files that it names.

    Raises `OSError` if a file cannot be read, or if others can read the key, and `ValueError` if it is no connection
    file. The sentence quotes nothing from the file.
    """
    try:
        raw = read_toml(read_whole(path, _MAX_BYTES).decode("utf-8-sig"), _MAX_BYTES)
    except ValueError as error:
        raise ValueError(f"{path} is not a connection file: it is not TOML.") from error
    if not raw.keys() <= _KEYS or not isinstance(raw.get("server"), str):
        raise ValueError(
            f"{path} is not a connection file: it has `server`, `key` or `key_file`, and `ca` or `ca_file`, and "
            "nothing else."
        )
    if not all(isinstance(value, str) for value in raw.values()):
        raise ValueError(f"{path} is not a connection file: its values must be strings.")
    if twice := [name for name in _BESIDE if raw.keys() >= {name, _BESIDE[name]}]:
        raise ValueError(f"{path} has both `{twice[0]}` and `{_BESIDE[twice[0]]}`; leave one out.")
    if "key" in raw:
        _require_private(path)
    return Connection(raw["server"], _part(path, raw, "key").strip(), _part(path, raw, "ca"))


def _part(path: Path, raw: dict[str, str], name: str) -> str:
    """Return a value of the file, or the content of the file beside it that holds the value; "" if there is neither."""
    if _BESIDE[name] not in raw:
        return raw.get(name, "")
    beside = path.parent / raw[_BESIDE[name]]
    try:
        text = read_whole(beside, _MAX_BYTES).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{beside} is not a text, so it holds no {name}.") from error
    if name == "key":
        _require_private(beside)
    if not text.strip():  # it would mean no key, or no encryption
        raise ValueError(f"{beside} is empty; leave `{_BESIDE[name]}` out of {path} for no {name}.")
    return text


def _require_private(path: Path) -> None:
    """Raise `OSError` if other users of this machine can read a file that holds a key."""
    found = path.stat()
    if open_to_others(found):
        words = f"it holds a key, and others can read it (mode {found.st_mode & 0o777:04o}); run `chmod 600 {path}`"
        raise OSError(errno.EACCES, words, str(path))


def _quoted(text: str) -> str:
    """Return a basic string of TOML, which has the escapes of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
