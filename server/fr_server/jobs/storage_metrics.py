"""Reports storage to the metrics: the files of each store, whether it accepts changes, and the size of galleries."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future

from fr_core.gallery.store.gallery_store import DATABASE_NAME
from fr_server.config import Config
from fr_server.config.folders import access_folder, cases_folder, data_folder, training_folder
from fr_server.rpc.services.gallery_calls import GalleryCalls
from fr_server.telemetry.open import Telemetry
from fr_training.store.schema import SCHEMA as TRAINING
from fr_trust.access.schema import SCHEMA as ACCESS
from fr_trust.casework.store_schema import SCHEMA as CASES


def watch(telemetry: Telemetry, config: Config, galleries: GalleryCalls, broken: Mapping[str, Future[None]]) -> None:
    """Have the stores of a configuration looked at whenever metrics are scraped; nothing where there are none.

    Args:
        telemetry: tells.
        config: of the server.
        galleries: are counted.
        broken: by the names of stores, ends where one takes no more changes; a store that is not named is not asked.
    """
    if telemetry.metrics_server is None:
        return
    from fr_server.telemetry.storage import KeptStore  # which imports what is not needed without metrics

    databases = {
        "galleries": data_folder(config) / DATABASE_NAME,
        "training": training_folder(config) / TRAINING.database_name,
        "cases": cases_folder(config) / CASES.database_name,
        "access": access_folder(config) / ACCESS.database_name,
    }
    telemetry.watch({name: KeptStore(path, broken.get(name)) for name, path in databases.items()}, galleries)
