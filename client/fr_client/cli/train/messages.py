"""Explains refusals to trainees: the server's own sentences are for programs and trainers."""

from collections.abc import Iterator
from contextlib import contextmanager

from fr_client.errors import CONNECTION_LOST, TIMED_OUT, UNREACHABLE, FrApiError

_SAME = "Run the same command again."
_BACK = "Run the same command again; if that does not help, tell your trainer."
_TRAINER = "Tell your trainer. Your earlier answers are safe."
_GONE = "The course no longer exists. Ask your trainer."
_SLOW = f"The server did not answer in time. {_BACK}"
_KEY = "Ask your trainer for a connection file (`fr --connection FILE`), or for a new one."
_BUSY = f"The server is too busy at the moment. Wait a minute. {_SAME}"
_STARTS = f"The server is not ready, or is stopping. Wait a minute. {_SAME}"
_ANSWER = "The server does not accept this answer. Answer again."
_WORDS = {
    "UNKNOWN_TRAINEE": "The server knows no such code. Type it as it is on your slip, or ask your trainer for a code.",
    "UNKNOWN_SITTING": "The course has no such sitting. Leave out --sitting, or ask your trainer for its name.",
    "UNKNOWN_SESSION": f"The server no longer knows this sitting. {_BACK}",
    "UNKNOWN_COURSE": _GONE,
    "UNKNOWN_COHORT": _GONE,
    "CONSENT_REQUIRED": f"A sitting begins only when you agree. {_SAME}",
    "SESSION_PAUSED": f"The sitting was paused at another machine. {_SAME}",
    "SITTING_CLOSED": f"Your trainer has closed this sitting. When it is open again, go on. {_SAME}",
    "PAUSES_USED_UP": "This block allows no more pauses: the time goes on. You can pause before the next block.",
    "SESSION_FINISHED": "This sitting is over, and takes no more answers.",
    "SESSION_UNFINISHED": "You have begun a sitting that is not finished. `fr train run --code -` continues it.",
    "NOT_RELEASED": "This trial is not open to you. Ask your trainer.",
    "BLOCK_EXPIRED": "The time of this block is over: this answer does not count.",
    "DECISION_LOCKED": "You answered this before, perhaps at another machine: the first answer counts.",
    "WRONG_STEP": "You answered this before, perhaps at another machine. Here is the next step.",
    "UNKNOWN_TRIAL": "This trial is over. Here is the next step.",
    "INVALID_RATING": _ANSWER,
    "INVALID_FIELD": _ANSWER,
    "MISSING_FIELD": _ANSWER,
    "CREDENTIAL_MISSING": f"The server asks who you are. {_KEY}",
    "CREDENTIAL_INVALID": f"The server no longer accepts your key. {_KEY}",
    "NOT_PERMITTED": f"Your key does not allow taking courses. {_KEY}",
    "RATE_LIMITED": _BUSY,
    "QUOTA_EXCEEDED": "There are no searches left for today. Continue tomorrow, or tell your trainer.",
    "IMAGE_TOO_COSTLY": "The server takes too long to read this photo. Use another.",
    "UNDECODABLE": "This file is not a photo that the server can read. Use another.",
    "UNSUPPORTED_FORMAT": "The server does not read photos of this format. Use a JPEG or a PNG.",
    "IMAGE_TOO_MANY_BYTES": "The file is too large. Use a smaller one.",
    "IMAGE_TOO_MANY_PIXELS": "The photo has too many pixels. Use a smaller one.",
    "SEVERAL_FRAMES": "The file holds several pictures. Use a photo.",
    "NO_FACE": "The photo shows no face. Use one that shows a face from the front, upright and uncovered.",
    "SEVERAL_FACES": "The photo shows several faces. Use one of one face.",
    "TOO_SMALL": "The face in the photo is too small. Use a larger one.",
    "LOW_QUALITY": "The face in the photo is not sharp, not evenly lit, or turned away. Use another photo.",
    UNREACHABLE: (
        "No server answers. Ask your trainer for its address (--server HOST:PORT, or FR_SERVER), and whether it runs. "
        + _SAME
    ),
    CONNECTION_LOST: f"The connection to the server broke. {_BACK}",
    TIMED_OUT: _SLOW,
    "CALL_ENDED": _SLOW,
    "CALL_TOO_LONG": _SLOW,
    "READER_TOO_SLOW": _SLOW,
    "OVERLOADED": _BUSY,
    "SHUTTING_DOWN": _STARTS,
    "NOT_READY": _STARTS,
    "STORE_FAILED": f"The server could not keep this. {_TRAINER}",
    "STORE_CORRUPT": f"The server could not read its data. {_TRAINER}",
    "INTERNAL": f"Something went wrong in the server. {_BACK}",
    "DEVICE_LOST": f"The server has lost its device. {_TRAINER}",
    "STORAGE_LOW": f"The disk of the server is full. {_TRAINER}",
}


def trainee_text(error: FrApiError) -> str:
    """Return a sentence with a remedy for the trainee; for other reasons, the server's sentence for the trainer."""
    return _WORDS.get(error.reason) or f"{error.message} If it happens again, show this to your trainer."


@contextmanager
def in_trainees_words() -> Iterator[None]:
    """Raise errors of the server with `trainee_text`, and with the details that a trainer needs."""
    try:
        yield
    except FrApiError as error:
        raise FrApiError(
            error.code, error.reason, trainee_text(error), error.metadata, error.retry_after_s, error.request_id
        ) from error
