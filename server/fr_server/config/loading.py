"""Reads the configuration from a file, the environment and options; prints it, and refuses unsafe starts."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import json
import math
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from fr_core.errors import ConfigInvalid, ConfigUnknownKey, PlaintextRefused
from fr_core.reading import TextRefused, read_at_most, read_toml
from fr_server.config.tree import KEYS, Config, Key


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach a host from the configuration."""
    name = host.strip("[]").partition("%")[0].lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False  # another name may resolve to any address
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def require_safe(config: Config) -> None:
    """Require that a server may safely start with a configuration.

    Raises `PlaintextRefused` if it would listen beyond this machine without TLS, or without authenticating callers, and
    `ConfigInvalid` if the settings of TLS or of tokens are incomplete.
    """
    tls, access = config.tls, config.access
    if bool(tls.certificate) != bool(tls.key):
        raise ConfigInvalid("Set both `tls.certificate` and `tls.key`, or neither.", key="tls.key")
    if tls.client_certificates != "off" and not (tls.certificate and tls.client_ca):
        raise ConfigInvalid(
            "`tls.client_certificates` needs `tls.certificate` and `tls.client_ca`.", key="tls.client_ca"
        )
    if tls.client_certificates == "off" and (tls.client_ca or tls.revoked):
        told = "`tls.client_ca` and `tls.revoked` have no effect without `tls.client_certificates`."
        raise ConfigInvalid(told, key="tls.client_certificates")
    oidc = (access.oidc_issuer, access.oidc_audience, access.oidc_jwks)
    if any(oidc) and not all(oidc):
        told = "Set all of `access.oidc_issuer`, `access.oidc_audience` and `access.oidc_jwks`, or none."
        raise ConfigInvalid(told, key="access.oidc_issuer")
    if is_loopback(config.server.host):
        return
    if not tls.certificate:
        told = f"The server would listen on {config.server.host} without encryption."
        raise PlaintextRefused(told, key="tls.certificate")
    if access.mode == "open":
        told = f"The server would listen on {config.server.host} without authenticating callers."
        raise PlaintextRefused(told, key="access.mode")


T = TypeVar("T")


_MAX_BYTES = 256 * 1024  # largest size of a configuration; all settings with their comments have 7 KiB

_MOST_TOLD, _MOST_KEY = 10, 80  # limits of one error: mistakes, and characters of an unknown key

ENVIRONMENT_PREFIX = "FR__"  # of the variables that hold settings, such as FR__SERVER__PORT

# Written as "1,2,4"; TOML makes a number of a lone 1, and people write lists.
_LISTS_OF_NUMBERS = ("batching.detector_sizes", "batching.embedder_sizes")


def load_config(
    path: Path | None,
    overrides: Sequence[str] = (),
    values: Mapping[str, object] = types.MappingProxyType({}),
    environ: Mapping[str, str] = types.MappingProxyType({}),
) -> Config:
    """Read a TOML file, then what the environment says, then `KEY=VALUE` overrides, then values by dotted key.

    Overrides have dotted keys and TOML values; a value that is not TOML is taken as a string, so that
    `model.device=cpu` needs no quotes. So it is with `FR__MODEL__DEVICE=cpu` of the environment. Raises
    `ConfigUnknownKey`, and `ConfigInvalid` for an unreadable file, a value of another type, or one out of range.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = read_toml(read_at_most(path, _MAX_BYTES).decode("utf-8-sig"), _MAX_BYTES)
        except OSError as error:
            raise ConfigInvalid(f"The configuration {path} cannot be read: {error.strerror}.") from error
        except (TextRefused, UnicodeDecodeError) as error:
            raise ConfigInvalid(f"The configuration {path} cannot be read as TOML: {error}.") from error
    for name, text in environ.items():
        if name.startswith(ENVIRONMENT_PREFIX):
            _apply_override(raw, f"{_key_of(name)}={text}")
    for override in overrides:
        _apply_override(raw, override)
    for key, value in values.items():
        _set(raw, key, value)
    return config_from(raw)


def config_from(raw: Mapping[str, Any]) -> Config:
    """Build the tree; raises `ConfigUnknownKey` or `ConfigInvalid`, whose sentence lists the first ten mistakes."""
    wrong: list[ConfigUnknownKey | ConfigInvalid] = []
    config = _branch(Config, raw, "", wrong)
    if wrong:
        first = wrong[0]
        raise type(first)(" ".join(one.what for one in wrong), **first.metadata) from first
    return config


def leaves(config: Config) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for each leaf, in the order of the tree."""
    for section in dataclasses.fields(config):
        branch = getattr(config, section.name)
        for leaf in dataclasses.fields(branch):
            yield f"{section.name}.{leaf.name}", getattr(branch, leaf.name)


def print_config(config: Config) -> str:
    """Return the tree as TOML with the meaning of each key as a comment; `load_config` reads it back."""
    lines: list[str] = []
    section = ""
    for key, value in leaves(config):
        head, name = key.split(".")
        if head != section:
            lines += ["", f"[{head}]"] if lines else [f"[{head}]"]
            section = head
        lines += [f"# {KEYS[key].meaning}", f"{name} = {_toml(value)}"]
    return "\n".join(lines) + "\n"


def _key_of(name: str) -> str:
    section, separator, leaf = name.removeprefix(ENVIRONMENT_PREFIX).partition("__")
    if not separator:
        raise ConfigUnknownKey(f"The environment holds {name}; a setting is written FR__SECTION__KEY.", key=name)
    return f"{section.lower()}.{leaf.lower()}"


def _apply_override(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigInvalid("A setting is written SECTION.KEY=VALUE, such as model.device=cpu.")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    except (ValueError, RecursionError) as error:  # of Python's own limits
        told = f"`{key.strip()}` is a list in too many lists, or a number of more digits than any setting takes."
        raise ConfigInvalid(told, key=key.strip()) from error
    _set(raw, key.strip(), value)


def _set(raw: dict[str, Any], key: str, value: object) -> None:
    section, dot, name = key.partition(".")
    if not (dot and section and name):
        raise ConfigInvalid("A setting is written SECTION.KEY=VALUE, such as model.device=cpu.")
    branch = raw.setdefault(section, {})
    if not isinstance(branch, dict):
        raise ConfigInvalid(f"`{section}` is a section, not a value.", key=section)
    branch[name] = value


def _branch(kind: type[T], raw: object, prefix: str, wrong: list[ConfigUnknownKey | ConfigInvalid]) -> T:
    """Build a branch; what is wrong is added to `wrong`, and the branch then has its defaults."""
    before = len(wrong)
    if not isinstance(raw, Mapping):
        wrong.append(ConfigInvalid(f"`{prefix.rstrip('.')}` is a section, not a value.", key=prefix.rstrip(".")))
        return kind()
    hints = get_type_hints(kind)
    known = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in raw.items():
        if len(wrong) >= _MOST_TOLD:
            break
        key = f"{prefix}{name}"
        if name not in known:
            key = key[:_MOST_KEY]
            near = difflib.get_close_matches(name[:_MOST_KEY], known, n=1)
            hint = f" Did you mean `{prefix}{near[0]}`?" if near else ""
            wrong.append(ConfigUnknownKey(f"The configuration has no key `{key}`.{hint}", key=key))
            continue
        hint_type = hints[name]
        if isinstance(hint_type, type) and dataclasses.is_dataclass(hint_type):
            values[name] = _branch(hint_type, value, f"{key}.", wrong)
            continue
        try:
            values[name] = _leaf(key, hint_type, value)
        except ConfigInvalid as error:
            wrong.append(error)
    if len(wrong) > before:
        return kind()
    try:
        return kind(**values)
    except ConfigInvalid as error:  # of settings that do not suit one another
        wrong.append(error)
        return kind()


def _leaf(key: str, kind: Any, value: object) -> Any:
    if key in _LISTS_OF_NUMBERS and isinstance(value, (int, list)) and not isinstance(value, bool):
        value = _numbers(key, value if isinstance(value, list) else [value])
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not value or not all(isinstance(v, get_args(kind)[0]) for v in value):
            raise ConfigInvalid(f"`{key}` is a list of at least one string.", key=key)
        checked: Any = tuple(value)
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            checked = float(value)
        except OverflowError as error:
            raise ConfigInvalid(f"`{key}` is {_meant(key, kind)}.", key=key) from error
    elif isinstance(value, str) and "\0" in value:
        raise ConfigInvalid(f"`{key}` holds a NUL character.", key=key)
    elif type(value) is kind:
        checked = value
    else:
        raise ConfigInvalid(f"`{key}` is {_meant(key, kind)}.", key=key)
    _check_range(key, KEYS[key], checked)
    return checked


def _numbers(key: str, values: list[Any]) -> str:
    """Return a list of numbers as its text; a number in hexadecimal digits can be too long for one."""
    try:
        return ",".join(map(str, values))
    except (ValueError, RecursionError) as error:
        raise ConfigInvalid(f"`{key}` is a list of whole numbers, such as 1,2,4.", key=key) from error


# Keyed by the end of a setting's name; the first match counts.
_UNITS = {
    "_per_s": "calls per second",
    "_per_day": "searches per day",
    "_s": "seconds",
    "_ms": "milliseconds",
    "_days": "days",
    "_bytes": "bytes",
    "_mib": "MiB",
    "_px": "pixels",
    "_pixels": "pixels",
}


def number_of(key: str, whole: bool) -> str:
    """Return a description of the number that a key takes, such as "a number of seconds"."""
    number = "a whole number" if whole else "a number"
    unit = next((words for end, words in _UNITS.items() if key.endswith(end)), "")
    return f"{number} of {unit}" if unit else number


def _meant(key: str, kind: type) -> str:
    if kind is bool:
        return "true or false"
    if kind is str:
        return "text between quotation marks"
    default = dict(leaves(Config()))[key]
    return f"{number_of(key, kind is int)}, such as {default if kind is int else f'{default:g}'}"


def _check_range(key: str, rule: Key, value: object) -> None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low = -math.inf if rule.low is None else rule.low
        high = math.inf if rule.high is None else rule.high
        if not low <= value <= high:
            number = number_of(key, isinstance(value, int))
            raise ConfigInvalid(f"`{key}` is {number} from {low:g} to {high:g}.", key=key)
    words = value if isinstance(value, tuple) else (value,)
    if rule.choices and any(word not in rule.choices for word in words):
        raise ConfigInvalid(f"`{key}` knows only: {', '.join(rule.choices)}.", key=key)


def _toml(value: object) -> str:
    # JSON's strings, numbers, booleans and lists of strings are TOML's, for the values that the tree can hold.
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
