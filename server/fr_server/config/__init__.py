"""The server's configuration: one frozen tree, from TOML and the environment; unknown keys refused, ranges checked.

`tree` is what there is, `keys` what each of it means and may be, `loading` how it is read and printed.
"""

from fr_server.config.keys import KEYS, Key
from fr_server.config.loading import config_from, leaves, load_config, print_config
from fr_server.config.tree import AccessConfig, Config, LimitsConfig, TelemetryConfig, TlsConfig

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
