"""A server with `isolation.decoding`: whoever answers calls has decoders of its own, which end with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from fr_api.v1 import common_pb2, recognition_pb2
from fr_core.detect.null import NullDetector
from fr_core.embed.null import NullEmbedder
from fr_core.engine import Engine, available_cores, build_pipeline
from fr_core.errors import Undecodable
from fr_core.imaging.sandbox import SandboxedDecoder
from fr_core.packs.manifest import load_pack
from fr_core.pipeline import Pipeline
from fr_core.types import F32, AlignedFace
from fr_server.config import Config, config_from
from fr_server.engine import engine_options, open_decoder
from support.faults import until
from support.servers import ended, null_engine, photo, running


def test_a_crash_of_a_decoder_is_one_caller_s_refusal(tmp_path: Path) -> None:
    """The worker is one that ends itself at photos that end in "#"."""
    boot = (
        "import sys; sys.path += sys.argv.pop(1).split(chr(10))\n"
        "import os, fr_core.imaging.sandbox_worker as worker\n"
        "honest = worker.decode_pixels\n"
        "worker.decode_pixels = lambda data, limits: os._exit(1) if data.endswith(b'#') else honest(data, limits)\n"
        "worker.main()"
    )
    decoder = SandboxedDecoder(workers=1, memory_mib=1024, time_ms=60_000, boot=boot)

    def engine(config: Config) -> Engine:
        pipeline = Pipeline(NullDetector(), NullEmbedder(), config.images, config.quality, decoder=decoder)
        return replace(null_engine(config), pipeline=pipeline)

    def detect(data: bytes) -> recognition_pb2.DetectResponse:
        request = recognition_pb2.DetectRequest(image=common_pb2.Image(data=data))
        return server.recognition.Detect(request, timeout=30)

    with running(tmp_path, engine=engine) as server:
        assert len(detect(photo(1)).faces) == 1
        with pytest.raises(grpc.RpcError) as refused:
            detect(photo(1) + b"#")
        assert ended(refused.value).code is grpc.StatusCode.INVALID_ARGUMENT
        assert ended(refused.value).info.reason == "UNDECODABLE"
        assert len(detect(photo(1, 2)).faces) == 2
        (process,) = decoder._idle
    until(lambda: not Path(f"/proc/{process.pid}").exists())


class Unused:
    size = 512

    def vectors(self, faces: Sequence[AlignedFace]) -> F32:
        raise NotImplementedError


def test_a_pipeline_as_front_ends_build_it_decodes_in_the_sandbox() -> None:
    config = config_from({"isolation": {"decoding": "process", "workers": 1}})
    decoder = open_decoder(config)
    assert isinstance(decoder, SandboxedDecoder)
    pipeline = build_pipeline(
        load_pack("buffalo_s"),
        None,  # type: ignore[arg-type]  # nothing is detected here
        Unused(),
        engine_options(config),
        config.images,
        decoder=decoder,
    )
    try:
        assert pipeline.decode(photo(1)).width == 400
        (process,) = decoder._idle
        with pytest.raises(Undecodable):
            pipeline.decode(photo(1)[:90])
    finally:
        pipeline.close()
    until(lambda: not Path(f"/proc/{process.pid}").exists())


@pytest.mark.parametrize(("frontends", "workers"), [(0, available_cores()), (2, -(-available_cores() // 2)), (64, 1)])
def test_processes_share_the_cores(frontends: int, workers: int) -> None:
    decoder = open_decoder(config_from({"server": {"frontends": frontends}, "isolation": {"decoding": "process"}}))
    assert isinstance(decoder, SandboxedDecoder)
    assert decoder._workers == workers
