"""Makes a wheel of fr-core that is built in a checkout take fr-client from the folder beside it, not from an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ClientBeside(BuildHookInterface[Any]):
    """Names the folder of fr-client in place of its release, for `pip install .`.

    A source distribution does not hold the folder, so a wheel that is built of one requires the release. So does an
    editable install: pip accepts no other source of fr-client beside `--editable client`.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run before the wheel is built; `version` is "standard" or "editable"."""
        client, required = Path(self.root, "client"), self.metadata.core.dependencies
        if version == "standard" and (client / "pyproject.toml").is_file():
            required[:] = [f"fr-client[cli] @ {client.as_uri()}", *(one for one in required if "fr-client" not in one)]
