"""The commands of docs/other-languages.md, against a real server."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from support.commands import REPOSITORY, blocks, page, shell
from support.servers import Running, photo


def shell_blocks() -> list[str]:
    """Those for a server that asks nobody; tests/models/test_trust_guides.py has that with keys."""
    return [block for block in blocks(page("docs/other-languages.md"), "sh") if "https://" not in block]


def test_reflection_serves_the_shell(server: Running, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(photo(1, 2))
    by_reflection, with_photo, _ = (block.replace("127.0.0.1:50061", server.address) for block in shell_blocks())
    told = shell(by_reflection, tmp_path)
    assert "fr_api.v1.GalleryService\n" in told
    assert "fr_api.v1.GalleryService/StreamEnrol\n" in told
    assert '"galleryId": "staff"' in told
    assert '"pack": "null"' in told
    assert len(json.loads(shell(with_photo, tmp_path))["faces"]) == 2


@pytest.mark.network
def test_node_enrols_and_searches(server: Running, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("Node.js is not installed")
    folder = tmp_path / "examples" / "node"
    shutil.copytree(REPOSITORY / "examples" / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "proto").symlink_to(REPOSITORY / "proto")
    (folder / "enrolled.jpg").write_bytes(photo(1))
    (folder / "probe.jpg").write_bytes(photo(1, width=500))
    script = shell_blocks()[-1].replace("127.0.0.1:50061", server.address)
    told = shell(script, tmp_path)
    assert re.search(r"^1  s1  1\.0000  lead$", told, re.MULTILINE)
    assert "examiner" in told
