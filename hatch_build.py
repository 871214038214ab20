"""Builds wheels of fr-core: in a checkout, they require the folder of fr-client and not a release from an index."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ClientBeside(BuildHookInterface[Any]):
    """Requires the folder of fr-client and not its release, for `pip install .`.

    A source distribution does not hold the folder, so a wheel that is built from it requires the release. So does an
    editable install: pip accepts no other source of fr-client beside `--editable client`.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run before the wheel is built; `version` is "standard" or "editable"."""
        client, required = Path(self.root, "client"), self.metadata.core.dependencies
        if version == "standard" and (client / "pyproject.toml").is_file():
            required[:] = [f"fr-client[cli] @ {client.as_uri()}", *(one for one in required if "fr-client" not in one)]
