"""Imaging, the worker of the sandbox: a process that decodes photos and can do nothing else.

Started by `fr_core.imaging.sandbox` alone. It imports NumPy, the decoding libraries and the rooms of imaging, shuts
itself in, then takes requests until its parent hangs up.
"""

import mmap
import os
import sys
from contextlib import suppress

import numpy as np
import simplejpeg  # noqa: F401 - imported here, because later the process cannot open files
from PIL import AvifImagePlugin

from fr_core.errors import FrError
from fr_core.imaging import sandbox_messages
from fr_core.imaging.confine import READY, confine, die_with, limit_processor_s
from fr_core.imaging.decode import decode_pixels


def main() -> None:
    """Serve until the parent hangs up; the arguments are those that `sandbox_process.SandboxProcess` gives."""
    link, shared, photo_at, memory_mib, time_s, parent = map(int, sys.argv[1:7])
    # The limits of a photo are made for one processor and for the stacks of few threads.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with suppress(ModuleNotFoundError):  # a server without HEIC
        import pillow_heif.options

        pillow_heif.options.DECODE_THREADS = 0  # besides the one that libde265 always starts
    memory = mmap.mmap(shared, 0)
    os.close(shared)
    try:
        die_with(parent)
        confine(memory_mib)
    except OSError as error:
        os.write(link, str(error).encode()[: sandbox_messages.MAX_MESSAGE_BYTES])
        raise
    os.write(link, READY)
    while message := os.read(link, sandbox_messages.MAX_MESSAGE_BYTES):
        limit_processor_s(time_s)
        os.write(link, answer(message, memory, photo_at))


def answer(message: bytes, memory: mmap.mmap, photo_at: int) -> bytes:
    """Decode the photo that lies in the shared memory from `photo_at` on; its pixels go to the start of it."""
    size, limits = sandbox_messages.unpack_request(message)
    try:
        pixels = decode_pixels(memory[photo_at : photo_at + size], limits)
    except FrError as refused:
        return sandbox_messages.pack_refusal(refused)
    except MemoryError:
        return sandbox_messages.OUT_OF_MEMORY
    np.copyto(np.frombuffer(memory, np.uint8, pixels.size).reshape(pixels.shape), pixels)
    height, width, _ = pixels.shape
    return sandbox_messages.pack_pixels(width, height)
