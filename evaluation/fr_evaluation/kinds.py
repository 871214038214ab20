"""Names the kinds of evaluation and their parts, for commands, reports and the server."""

KINDS = ("verification", "identification")
# Drawn strangers included; such a run takes hours.
LARGEST_GALLERY = 10_000_000
MOST_DIGITS = len(str(LARGEST_GALLERY))
