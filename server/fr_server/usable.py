"""What a start requires of a configuration before it opens or makes anything; `fr server check-config` looks first."""

from __future__ import annotations

from fr_server.access.opening import require_issuer
from fr_server.clock import wall_ms
from fr_server.config import Config
from fr_server.door.tls import check_tls
from fr_server.engine import engine_options, open_decoder
from fr_server.folders import require_folders, require_key
from fr_server.services.checkpoints import require_checkpoint_folder
from fr_server.telemetry.open import require_telemetry
from fr_server.tls import tls_files


def require_usable(config: Config) -> None:
    """Return where settings, and the files and folders that they name, can be used, as far as no model tells.

    Nothing is made or written, no command is run, and no other machine is asked.

    Raises:
        ConfigInvalid: a setting, a folder, or a file of the keys of an issuer, cannot be used.
        KeyUnavailable: the key of the galleries cannot be read; a command is read, and not run.
        TlsUnusable: a certificate or its key cannot be used.
    """
    engine_options(config)
    open_decoder(config).close()  # no process is started before the first photo
    require_telemetry(config.telemetry)
    require_folders(config)
    require_checkpoint_folder(config)
    require_issuer(config.access)
    files = tls_files(config)
    if files is not None:
        check_tls(files, wall_ms())
    require_key(config)
