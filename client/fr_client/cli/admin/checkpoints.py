"""Keeps checkpoints of the audit as files: CHAIN-NUMBER.json, and CHAIN.pem with the key that signs them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fr_api.v1 import audit_pb2
from fr_client.cli.files import read_file, reading, writing
from fr_client.cli.show import shown
from fr_client.cli.state import Unusable
from fr_client.private import private_file
from fr_client.words import CHAINS
from fr_files.audit_findings import FINDINGS

_NAME = re.compile(rf"({'|'.join(CHAINS)})-([0-9]{{1,16}})\.json")
# The key of evidence bundles comes with those of the chains.
_EVIDENCE = "evidence"
# Checkpoints of each chain to check before saving new ones: the last ones cover the earlier ones, and this is fast.
_SENT = 2_000
_HASH = re.compile(r"[0-9a-f]{64}")


def read_checkpoints(folder: Path, chain: str = "") -> list[audit_pb2.Checkpoint]:
    """Return the checkpoints in a folder of `save_checkpoints`, of one chain or of all (""), ordered by their names.

    Raises `Unusable` if it cannot be read, has another file that ends in .json, or has no such checkpoint.
    """
    with reading(folder):
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    found = []
    for path in paths:
        name = _NAME.fullmatch(path.name)
        if name is None:
            message = f"{shown(path)} is not a checkpoint: `fr audit checkpoint` calls them CHAIN-NUMBER.json."
            raise Unusable("CHECKPOINT_UNREADABLE", message)
        if chain in ("", name[1]):
            text = _text(path)
            if _of(text)[0] != int(name[2]):
                raise Unusable("CHECKPOINT_UNREADABLE", f"{shown(path)} is not the checkpoint that its name says.")
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
    """Write the checkpoints and public keys of a server into a folder; return the new files.

    Existing files stay as they are, and must agree: otherwise it writes nothing. `verify` lets the server check all of
    its chains against checkpoints. Raises `Unusable` if a checkpoint cannot be read, a file cannot be written, or an
    existing one disagrees.
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
    with writing(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        for path, text in new.items():
            with private_file(path, replace=False) as file:
                file.write(text.encode())
    return sorted(new)


def _newest(checkpoints: Sequence[audit_pb2.Checkpoint]) -> list[audit_pb2.Checkpoint]:
    """Return the last `_SENT` of each chain: they cover the earlier ones."""
    numbers = {chain: sorted(_of(one.json)[0] for one in checkpoints if one.chain == chain) for chain in CHAINS}
    return [one for one in checkpoints if _of(one.json)[0] >= numbers[one.chain][-_SENT:][0]]


def _path_of(folder: Path, chain: str, seq: int) -> Path:
    """Return the path of a checkpoint, with the server's name of it; or with its former name, without zeros."""
    before = folder / f"{chain}-{seq}.json"
    return before if before.exists() else folder / f"{chain}-{seq:012}.json"


def _require_same(path: Path, text: str) -> None:
    before = _text(path)
    same = before.split() == text.split() if path.suffix == ".pem" else _of(before) == _of(text)
    if same:
        return
    chain = path.name.partition("-")[0].removesuffix(".pem")
    what = "signs with another key than" if path.suffix == ".pem" else "holds another history than"
    message = f"Chain {chain} {what} {shown(path)} has it: it was written anew, or the file is of another server."
    raise Unusable("CHECKPOINT_DISAGREES", message)


def _of(text: str) -> tuple[int, str]:
    try:
        said = json.loads(text)
        seq, hash_ = said["seq"], said["hash"]
        if type(seq) is not int or seq < 0 or _HASH.fullmatch(hash_) is None:
            raise ValueError("no number or no hash")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unusable(
            "CHECKPOINT_UNREADABLE", "A checkpoint cannot be read: no server made it in this form."
        ) from error
    return seq, hash_


def _known(chain: str) -> str:
    if chain not in CHAINS:
        raise Unusable("CHECKPOINT_UNREADABLE", "The server has a chain that is newer than this command.")
    return chain


def _text(path: Path) -> str:
    try:
        return read_file(path).decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise Unusable("CHECKPOINT_UNREADABLE", f"{shown(path)} is not text in ASCII.") from error


def counted(checkpoints: Sequence[audit_pb2.Checkpoint]) -> dict[str, int]:
    """Return the number of checkpoints of each chain."""
    return {chain: sum(one.chain == chain for one in checkpoints) for chain in {one.chain for one in checkpoints}}


_NEWER = "record {seq} is not as it was written."


def faults(verdicts: Sequence[audit_pb2.ChainVerdict], given: Mapping[str, int]) -> list[str]:
    """Return a sentence for each chain that may have been changed.

    `given` is the number of checkpoints of each chain that the server got: one that it did not check proves nothing.
    """
    found = []
    for one in verdicts:
        if not one.intact:
            found.append(f"Chain {one.chain}: {FINDINGS.get(one.finding, _NEWER).format(seq=one.seq)}")
        elif one.checkpoints < given.get(one.chain, 0):
            looked = f"{one.checkpoints} of {given[one.chain]} checkpoints"
            found.append(f"Chain {one.chain}: the server checked only {looked}.")
    told = {one.chain for one in verdicts}
    found += [f"Chain {chain}: the server has no such chain any more." for chain in sorted(given.keys() - told)]
    return found
