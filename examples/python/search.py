"""Enrol one photo and search with another.

python search.py desk.toml GALLERY SUBJECT ENROL.jpg PROBE.jpg
"""

import sys
from pathlib import Path

from fr_client import Client, FrApiError


def main(connection: str, gallery: str, subject: str, enrolled: str, probe: str) -> int:
    """Run from the command line."""
    try:
        with Client.from_connection(connection, timeout_s=60) as client:
            try:
                client.enrol(gallery, subject, Path(enrolled))
            except FrApiError as error:
                if error.reason != "DUPLICATE_IMAGE":
                    raise
                print("already enrolled")
            answer = client.search(gallery, Path(probe), top_k=5, purpose="testing", case_reference="first try")
    except FrApiError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:  # of the connection file or a photo; it repeats nothing of a file
        print(error, file=sys.stderr)
        return 1
    for one in answer.results[0].candidates:
        verdict = "lead" if one.above_threshold else "below threshold"
        print(f"{one.rank}  {one.subject_id}  {one.similarity:.4f}  {verdict}")
    print(answer.notice)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit("Usage: python search.py desk.toml GALLERY SUBJECT ENROL.jpg PROBE.jpg")
    sys.exit(main(*sys.argv[1:]))
