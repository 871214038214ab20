"""What a trainee is told when the server refuses: the server's own sentences are for programs and trainers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fr_client.errors import CONNECTION_LOST, TIMED_OUT, UNREACHABLE, FrApiError

_SAME = "Run the same command again."
_BACK = "Run the same command again; if that does not help, tell your trainer."
_TRAINER = "Tell your trainer. What was taken before is safe."
_GONE = "The course is not there any more. Ask your trainer."
_SLOW = f"The server did not answer in time. {_BACK}"
_KEY = "Ask your trainer for the file that `fr --connection FILE` takes, or for a new one."
_BUSY = f"The server has too much to do at the moment. Wait a minute. {_SAME}"
_STARTS = f"The server is not ready, or is being stopped. Wait a minute. {_SAME}"
_ANSWER = "The server does not take this answer. Answer again."
_WORDS = {
    "UNKNOWN_TRAINEE": "The server knows no such code. Type it as it is on your slip, or ask your trainer for a code.",
    "UNKNOWN_SITTING": "The course has no such sitting. Leave out --sitting, or ask your trainer for its name.",
    "UNKNOWN_SESSION": f"The server does not know this sitting any more. {_BACK}",
    "UNKNOWN_COURSE": _GONE,
    "UNKNOWN_COHORT": _GONE,
    "CONSENT_REQUIRED": f"A sitting begins only when you agree. {_SAME}",
    "SESSION_PAUSED": f"The sitting was paused at another machine. {_SAME}",
    "SESSION_FINISHED": "This sitting is over, and takes no answers any more.",
    "SESSION_UNFINISHED": "You have begun a sitting that is not finished. `fr train run --code -` goes on with it.",
    "BLOCK_EXPIRED": "The time of this block is over: this answer was not taken.",
    "DECISION_LOCKED": "This was answered before, as at another machine: the first answer stands.",
    "WRONG_STEP": "This was answered before, as at another machine. What is next is shown.",
    "UNKNOWN_TRIAL": "This trial is over. What is next is shown.",
    "INVALID_RATING": _ANSWER,
    "INVALID_FIELD": _ANSWER,
    "MISSING_FIELD": _ANSWER,
    "CREDENTIAL_MISSING": f"The server asks who you are. {_KEY}",
    "CREDENTIAL_INVALID": f"The server does not take your key any more. {_KEY}",
    "NOT_PERMITTED": f"Your key is not one for taking courses. {_KEY}",
    "RATE_LIMITED": _BUSY,
    "QUOTA_EXCEEDED": "There are no searches left for today. Go on tomorrow, or tell your trainer.",
    "IMAGE_TOO_COSTLY": "The server takes too long to read this photo. Take another.",
    "UNDECODABLE": "This file is no photo that the server can read. Take another.",
    "UNSUPPORTED_FORMAT": "The server does not read photos of this format. Take a JPEG or a PNG.",
    "IMAGE_TOO_MANY_BYTES": "The file is too large. Take a smaller one.",
    "IMAGE_TOO_MANY_PIXELS": "The photo has too many pixels. Take a smaller one.",
    "SEVERAL_FRAMES": "The file holds several pictures. Take a photo.",
    "NO_FACE": "No face was found in the photo. Take one that shows a face from the front, upright and uncovered.",
    "SEVERAL_FACES": "The photo shows several faces. Take one of one face.",
    "TOO_SMALL": "The face in the photo is too small. Take a larger one.",
    "LOW_QUALITY": "The face in the photo is not sharp, not lit evenly, or turned away. Take another photo.",
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
    "STORE_CORRUPT": f"The server could not read what it keeps. {_TRAINER}",
    "INTERNAL": f"Something went wrong in the server. {_BACK}",
    "DEVICE_LOST": f"The server has lost its device. {_TRAINER}",
    "STORAGE_LOW": f"The disk of the server is full. {_TRAINER}",
}


def trainee_words(error: FrApiError) -> str:
    """Return what a trainee can do; of a reason without words here, the server's sentence and whom to show it."""
    return _WORDS.get(error.reason) or f"{error.message} If it comes again, show this to your trainer."


@contextmanager
def in_trainees_words() -> Iterator[None]:
    """Raise errors of the server with `trainee_words`, and with all that a trainer needs to look into them."""
    try:
        yield
    except FrApiError as error:
        raise FrApiError(
            error.code, error.reason, trainee_words(error), error.metadata, error.retry_after_s, error.request_id
        ) from error
