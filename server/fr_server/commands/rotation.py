"""Changes the key of all stores. After an interruption at any point, run it again to finish the change.

It changes each store's key in one transaction, the galleries last. During the change, the seal of the configuration is
valid under both keys, so that a server can start with either; a store under the other key refuses to open.
"""

from collections.abc import Mapping
from contextlib import closing

from fr_core.errors import KeyUnavailable, WrongKey, message
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.marks import mark_of
from fr_server.clock import wall_ms
from fr_server.config import Config
from fr_server.config.folders import naming
from fr_server.storage.places import Place, places_of
from fr_server.storage.seal import begin_reseal, end_reseal
from fr_server.telemetry.trust import Chain
from fr_training.store.training_store import TrainingStore
from fr_trust.access.store import AccessStore
from fr_trust.casework.store import CaseStore

_STORES: Mapping[Chain, type[TrainingStore] | type[CaseStore] | type[AccessStore]] = {
    "training": TrainingStore,
    "cases": CaseStore,
    "access": AccessStore,
}


def rotate(config: Config, before: KeyEncryptionKey, after: KeyEncryptionKey) -> bool:
    """Change the key of the stores and the seal of a configuration of a stopped server; continues an interrupted run.

    Returns True if the old wrapped keys of the galleries are overwritten. If not, the next start overwrites them.

    Raises:
        KeyUnavailable: both keys are the same; nothing changed.
        WrongKey: a store uses neither key; nothing changed (metadata: file).
        FileTampered: the seal uses neither key; nothing changed.
        StoreInUse, StoreNewer, StoreCorrupt, StoreFailed: a store could not be changed (metadata: file); run it again.
    """
    *others, galleries = sorted(
        (place for place in places_of(config) if place.is_there), key=lambda place: place.chain == "galleries"
    )
    with naming(galleries.path):
        store = _galleries(galleries, before, after)
    with closing(store):
        for place in others:
            _require_under_one(place, before, after)
        if before.key_id == after.key_id:
            raise KeyUnavailable(message("error.storage.store_already_uses_new"), key_id=after.key_id)
        begin_reseal(config, before, after)
        for place in others:
            with naming(place.path):
                _rotate_other(place, before, after)
        with naming(galleries.path):
            scrubbed = _rotate_galleries(store, after)
        end_reseal(config, before, after)
    return scrubbed


def _galleries(place: Place, before: KeyEncryptionKey, after: KeyEncryptionKey) -> GalleryStore:
    try:
        return GalleryStore(place.folder, before)
    except WrongKey:
        return GalleryStore(place.folder, after)


def _rotate_galleries(store: GalleryStore, after: KeyEncryptionKey) -> bool:
    try:
        return store.rotate(after)
    except KeyUnavailable:  # an earlier run has done it, and may have left the old wrapped keys
        return store.scrub()


def _require_under_one(place: Place, before: KeyEncryptionKey, after: KeyEncryptionKey) -> None:
    with naming(place.path):
        try:
            mark_of(place.path, before)
        except WrongKey:
            mark_of(place.path, after)


def _rotate_other(place: Place, before: KeyEncryptionKey, after: KeyEncryptionKey) -> None:
    try:
        store = _STORES[place.chain].open(place.folder, before, wall_ms)
    except WrongKey:  # an earlier run has done it, and may have left the old wrapped key in the log
        with closing(Database(place.folder, place.schema, after, 0)) as database:
            database.log.scrub()
        return
    with store:
        store.put_under(after)
