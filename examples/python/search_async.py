"""Enrol one photo, and search with any number of others at the same time.

python search_async.py desk.toml GALLERY SUBJECT ENROL.jpg PROBE.jpg...
"""

import asyncio
import sys
from pathlib import Path

from fr_api.v1 import common_pb2
from fr_client import AsyncClient, FrApiError, SearchItem, reason_of


async def main(connection: str, gallery: str, subject: str, enrolled: str, *probes: str) -> int:
    """Run from the command line."""
    wanted = [
        SearchItem(Path(probe), item_id=probe, top_k=5, purpose="testing", case_reference="first try")
        for probe in probes
    ]
    try:
        async with AsyncClient.from_connection(connection, timeout_s=60) as client:
            try:
                await client.enrol(gallery, subject, Path(enrolled))
            except FrApiError as error:
                if error.reason != "DUPLICATE_IMAGE":
                    raise
                print("already enrolled")
            async for probe, answer in client.search_many(gallery, wanted):
                print(probe)
                if isinstance(answer, common_pb2.Refusal):
                    print(f"  {reason_of(answer)}: {answer.message}")
                    continue
                for one in answer.results[0].candidates:
                    verdict = "lead" if one.above_threshold else "below threshold"
                    print(f"  {one.rank}  {one.subject_id}  {one.similarity:.4f}  {verdict}")
                print(f"  {answer.notice}")
    except FrApiError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:  # of the connection file or a photo; it repeats nothing of a file
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 6:
        sys.exit("Usage: python search_async.py desk.toml GALLERY SUBJECT ENROL.jpg PROBE.jpg...")
    sys.exit(asyncio.run(main(*sys.argv[1:])))
