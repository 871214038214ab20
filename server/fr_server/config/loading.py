"""Reads the configuration from a file, the environment and options; prints it, and refuses unsafe starts."""

import dataclasses
import difflib
import ipaddress
import json
import math
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from fr_core.errors import ConfigInvalid, ConfigUnknownKey, PlaintextRefused, message
from fr_files.reading import TextRefused, read_at_most, read_toml
from fr_locales.messages import Message
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


def only_this_machine(config: Config) -> bool:
    """Return True if only this machine can reach the server, over gRPC and over HTTP."""
    web = config.web
    return is_loopback(config.server.host) and (not web.port or (is_loopback(web.host) and not web.names))


def require_safe(config: Config) -> None:
    """Require that a server may safely start with a configuration.

    Raises `PlaintextRefused` if it would listen beyond this machine without TLS, or without authenticating callers, and
    `ConfigInvalid` if the settings of TLS or of tokens are incomplete.
    """
    tls, access = config.tls, config.access
    if bool(tls.certificate) != bool(tls.key):
        raise ConfigInvalid(message("error.config.set_both_tls_certificate"), key="tls.key")
    if tls.client_certificates != "off" and not (tls.certificate and tls.client_ca):
        raise ConfigInvalid(message("error.config.tls_client_certificates_needs_tls"), key="tls.client_ca")
    if tls.client_certificates == "off" and (tls.client_ca or tls.revoked):
        raise ConfigInvalid(message("error.config.tls_client_ca_tls_revoked"), key="tls.client_certificates")
    oidc = (access.oidc_issuer, access.oidc_audience, access.oidc_jwks)
    if any(oidc) and not all(oidc):
        raise ConfigInvalid(message("error.config.set_all_access_oidc_issuer"), key="access.oidc_issuer")
    if only_this_machine(config):
        return
    host = config.web.host if is_loopback(config.server.host) else config.server.host
    if not tls.certificate and not is_loopback(host):
        raise PlaintextRefused(message("error.config.no_tls", host=host), key="tls.certificate")
    if access.mode == "open":
        raise PlaintextRefused(message("error.config.no_access", host=host), key="access.mode")


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
            raise ConfigInvalid(message("error.config.unreadable", path=path, reason=str(error.strerror))) from error
        except (TextRefused, UnicodeDecodeError) as error:
            raise ConfigInvalid(message("error.config.no_toml", path=path, error=str(error))) from error
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
        found = reduce(_both, (one.finding for one in wrong))
        raise type(first)(found, **first.metadata) from first
    return config


def _both(first: Message | str, then: Message | str) -> Message:
    return message("error.config.both", first=first, then=then)


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
        raise ConfigUnknownKey(message("error.config.environment_holds_setting_written", name=name), key=name)
    return f"{section.lower()}.{leaf.lower()}"


def _apply_override(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigInvalid(message("error.config.setting_written_section_key"))
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    except (ValueError, RecursionError) as error:  # of Python's own limits
        raise ConfigInvalid(message("error.config.list_too_many_lists", key=key.strip()), key=key.strip()) from error
    _set(raw, key.strip(), value)


def _set(raw: dict[str, Any], key: str, value: object) -> None:
    section, dot, name = key.partition(".")
    if not (dot and section and name):
        raise ConfigInvalid(message("error.config.setting_written_section_key"))
    branch = raw.setdefault(section, {})
    if not isinstance(branch, dict):
        raise ConfigInvalid(message("error.config.section_not_value", section=section), key=section)
    branch[name] = value


def _branch(kind: type[T], raw: object, prefix: str, wrong: list[ConfigUnknownKey | ConfigInvalid]) -> T:
    """Build a branch; what is wrong is added to `wrong`, and the branch then has its defaults."""
    before = len(wrong)
    if not isinstance(raw, Mapping):
        wrong.append(
            ConfigInvalid(message("error.config.section_not_value", section=prefix.rstrip(".")), key=prefix.rstrip("."))
        )
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
            found = message("error.config.no_key", key=key)
            if near:
                found = message("error.config.no_key_but_near", key=key, near=f"{prefix}{near[0]}")
            wrong.append(ConfigUnknownKey(found, key=key))
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
            raise ConfigInvalid(message("error.config.list_least_string", key=key), key=key)
        checked: Any = tuple(value)
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            checked = float(value)
        except OverflowError as error:
            raise ConfigInvalid(message("error.config.kind", key=key, meant=_meant(key, kind)), key=key) from error
    elif isinstance(value, str) and "\0" in value:
        raise ConfigInvalid(message("error.config.holds_nul_character", key=key), key=key)
    elif type(value) is kind:
        checked = value
    else:
        raise ConfigInvalid(message("error.config.kind", key=key, meant=_meant(key, kind)), key=key)
    _check_range(key, KEYS[key], checked)
    return checked


def _numbers(key: str, values: list[Any]) -> str:
    """Return a list of numbers as its text; a number in hexadecimal digits can be too long for one."""
    try:
        return ",".join(map(str, values))
    except (ValueError, RecursionError) as error:
        raise ConfigInvalid(message("error.config.list_whole_numbers", key=key), key=key) from error


# Keyed by the end of a setting's name; the first match counts.
_UNITS = {
    "_per_s": message("error.config.unit.calls_per_second"),
    "_per_day": message("error.config.unit.searches_per_day"),
    "_s": message("error.config.unit.seconds"),
    "_ms": message("error.config.unit.milliseconds"),
    "_days": message("error.config.unit.days"),
    "_bytes": message("error.config.unit.bytes"),
    "_mib": message("error.config.unit.mib"),
    "_px": message("error.config.unit.pixels"),
    "_pixels": message("error.config.unit.pixels"),
}


def _number_of(key: str, whole: bool) -> Message:
    """Return a description of the number that a key takes, such as "a number of seconds"."""
    unit = next((unit for end, unit in _UNITS.items() if key.endswith(end)), None)
    if unit is not None:
        return message("error.config.whole_of", unit=unit) if whole else message("error.config.number_of", unit=unit)
    return message("error.config.whole") if whole else message("error.config.number")


def _meant(key: str, kind: type) -> Message:
    if kind is bool:
        return message("error.config.flag")
    if kind is str:
        return message("error.config.text")
    default = dict(leaves(Config()))[key]
    example = default if kind is int else f"{default:g}"
    return message("error.config.such_as", number=_number_of(key, kind is int), example=example)


def _check_range(key: str, rule: Key, value: object) -> None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low = -math.inf if rule.low is None else rule.low
        high = math.inf if rule.high is None else rule.high
        if not low <= value <= high:
            number = _number_of(key, isinstance(value, int))
            raise ConfigInvalid(message("error.config.range", key=key, number=number, low=low, high=high), key=key)
    words = value if isinstance(value, tuple) else (value,)
    if rule.choices and any(word not in rule.choices for word in words):
        raise ConfigInvalid(message("error.config.knows_only", key=key, choices=", ".join(rule.choices)), key=key)


def _toml(value: object) -> str:
    # JSON's strings, numbers, booleans and lists of strings are TOML's, for the values that the tree can hold.
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
