"""Checkpoints of the audit as files: CHAIN-NUMBER.json, and CHAIN.pem with the key that signs them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from fr_api.v1 import audit_pb2
from fr_client.audit_requests import CHAINS
from fr_client.cli.audit_words import faults
from fr_client.cli.saving import read_file
from fr_client.cli.show import shown
from fr_client.cli.state import Unusable
from fr_client.private import private_file

_NAME = re.compile(rf"({'|'.join(CHAINS)})-([0-9]{{1,16}})\.json")
# The key of evidence bundles comes with those of the chains.
_EVIDENCE = "evidence"
# Of each chain, before new ones are saved: the last sign what those before them sign, and it is to take no time.
_SENT = 2_000
_HASH = re.compile(r"[0-9a-f]{64}")


def read_checkpoints(folder: Path, chain: str = "") -> list[audit_pb2.Checkpoint]:
    """Return the checkpoints of a folder, in the order of their names.

    Args:
        folder: as `save_checkpoints` fills it.
        chain: of this one alone; "" for all.

    Raises:
        Unusable: it cannot be read, has another file that ends in .json, or no checkpoint that is asked for.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except OSError as error:
        raise Unusable("FILE_UNREADABLE", f"{shown(folder)} cannot be read: {error.strerror}.") from error
    found = []
    for path in paths:
        name = _NAME.fullmatch(path.name)
        if name is None:
            message = f"{shown(path)} is no checkpoint: `fr audit checkpoint` calls them CHAIN-NUMBER.json."
            raise Unusable("CHECKPOINT_UNREADABLE", message)
        if chain in ("", name[1]):
            text = _text(path)
            if _of(text)[0] != int(name[2]):
                raise Unusable("CHECKPOINT_UNREADABLE", f"{shown(path)} is another checkpoint than its name says.")
            found.append(audit_pb2.Checkpoint(chain=name[1], json=text))
    if not found:
        which = f" of chain {chain}" if chain else ""
        raise Unusable("CHECKPOINT_MISSING", f"{shown(folder)} holds no checkpoint{which}.")
    return found


def save_checkpoints(
    answer: audit_pb2.GetCheckpointsResponse,
    folder: Path,
    verify: Callable[[Sequence[audit_pb2.Checkpoint]], Sequence[audit_pb2.ChainVerdict]],
) -> list[Path]:
    """Write the checkpoints that a server gave, and its public keys, into a folder; return the new files.

    What is there already stays as it is, and must agree: nothing is written where it does not.

    Args:
        answer: of the server.
        folder: is made where it is not there.
        verify: lets the server check all of its chains against checkpoints; called where the folder has some.

    Raises:
        Unusable: a checkpoint cannot be read, a file cannot be written, or what is there says something else.
    """
    wanted: dict[Path, str] = {}
    for chain, pem in answer.public_keys.items():
        wanted[folder / f"{chain if chain == _EVIDENCE else _known(chain)}.pem"] = pem
    for one in answer.checkpoints:
        wanted[_path_of(folder, _known(one.chain), _of(one.json)[0])] = one.json
    new = {path: text for path, text in wanted.items() if not path.exists()}
    for path in sorted(wanted.keys() - new.keys()):
        _require_same(path, wanted[path])
    if any(folder.glob("*.json")):
        sent = [*_newest(read_checkpoints(folder)), *answer.checkpoints]
        if wrong := faults(verify(sent), counted(sent)):
            raise Unusable("CHECKPOINT_DISAGREES", f"{' '.join(wrong)} Nothing was written into {shown(folder)}.")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for path, text in new.items():
            with private_file(path, replace=False) as file:
                file.write(text.encode())
    except OSError as error:
        raise Unusable("FILE_UNWRITABLE", f"{shown(folder)} cannot be written: {error.strerror}.") from error
    return sorted(new)


def _newest(checkpoints: Sequence[audit_pb2.Checkpoint]) -> list[audit_pb2.Checkpoint]:
    """Return the last `_SENT` of each chain: they sign what those before them sign."""
    numbers = {chain: sorted(_of(one.json)[0] for one in checkpoints if one.chain == chain) for chain in CHAINS}
    return [one for one in checkpoints if _of(one.json)[0] >= numbers[one.chain][-_SENT:][0]]


def _path_of(folder: Path, chain: str, seq: int) -> Path:
    """Return the path of a checkpoint, named as the server names its own; or as it once was, without zeros."""
    before = folder / f"{chain}-{seq}.json"
    return before if before.exists() else folder / f"{chain}-{seq:012}.json"


def _require_same(path: Path, text: str) -> None:
    """Raise `Unusable` where a file holds another key, or another hash of the same record."""
    before = _text(path)
    same = before.split() == text.split() if path.suffix == ".pem" else _of(before) == _of(text)
    if same:
        return
    chain = path.name.partition("-")[0].removesuffix(".pem")
    what = "signs with another key than" if path.suffix == ".pem" else "holds another history than"
    message = f"Chain {chain} {what} {shown(path)} has it: it was written anew, or the file is of another server."
    raise Unusable("CHECKPOINT_DISAGREES", message)


def _of(text: str) -> tuple[int, str]:
    """Return the number and the hash of a checkpoint's record; raises `Unusable` where they cannot be read."""
    try:
        said = json.loads(text)
        seq, hash_ = said["seq"], said["hash"]
        if type(seq) is not int or seq < 0 or _HASH.fullmatch(hash_) is None:
            raise ValueError("no number or no hash")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unusable(
            "CHECKPOINT_UNREADABLE", "A checkpoint cannot be read: it is not as a server makes it."
        ) from error
    return seq, hash_


def _known(chain: str) -> str:
    """Return the name of a chain for the name of a file; raises `Unusable` for any that is not known."""
    if chain not in CHAINS:
        raise Unusable("CHECKPOINT_UNREADABLE", "The server has a chain that is newer than this command.")
    return chain


def _text(path: Path) -> str:
    try:
        return read_file(path).decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise Unusable("CHECKPOINT_UNREADABLE", f"{shown(path)} is no text in ASCII.") from error


def counted(checkpoints: Sequence[audit_pb2.Checkpoint]) -> dict[str, int]:
    """Return how many checkpoints there are of each chain."""
    return {chain: sum(one.chain == chain for one in checkpoints) for chain in {one.chain for one in checkpoints}}
