"""The server's configuration: one frozen tree, from TOML and the environment; unknown keys refused, ranges checked.

`tree` defines each setting with its default, meaning and values; `loading` reads and prints them, and refuses unsafe
ones; `folders` finds the folders and files that they name.
"""

from fr_server.config.loading import config_from, leaves, load_config, print_config
from fr_server.config.tree import KEYS, AccessConfig, Config, Key, LimitsConfig, TelemetryConfig, TlsConfig

__all__ = [
    "KEYS",
    "AccessConfig",
    "Config",
    "Key",
    "LimitsConfig",
    "TelemetryConfig",
    "TlsConfig",
    "config_from",
    "leaves",
    "load_config",
    "print_config",
]
