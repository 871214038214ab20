"""Live streams: RTSP servers and transport streams are played; hostile ones are refused within limits."""

import itertools
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.errors import InternalError
from fr_video.errors import StreamUnreadable
from fr_video.live import Hole, Live, Why
from fr_video.mpegts import Muxer
from fr_video.rtp import Depacketizer
from fr_video.rtsp import RtspSession, read_description
from fr_video.sources import Feed, require_address
from fr_video.values import Frame, Sampling, VideoLimits
from support.commands import REPOSITORY
from support.faults import children_of
from support.footage import Actor, Scene, at_rate
from support.streams import Camera, RtpSender, Unit, encoded, nal_units

RATE = Fraction(25)
PINK = np.full((60, 60, 3), (255, 0, 100), np.uint8)
SCENE = Scene([Actor("a", PINK, lambda time: (60 + 40 * time, 80, 60), round=False)], (320, 240))
CODECS = {"H264": "libx264", "H265": "libx265"}


@pytest.fixture(scope="module")
def units() -> dict[str, list[Unit]]:
    return {
        name: encoded(((moment, SCENE.draw(float(moment))) for moment in at_rate(RATE, 4)), encoder)
        for name, encoder in CODECS.items()
    }


def played(address: str) -> tuple[list[Frame], list[Hole], int]:
    """Return frames, holes and the number of frames that were dropped."""
    frames: list[Frame] = []
    with Live(Feed(address), Sampling(), VideoLimits()) as live:
        while not live.is_over:
            if (frame := live.take(1.0)) is not None:
                frames.append(frame)
        return frames, live.holes(), live.take_dropped()


@pytest.mark.parametrize("as_rtsp", [True, False])
@pytest.mark.parametrize("codec", CODECS)
def test_a_stream_gives_its_pictures_at_their_times(units: dict[str, list[Unit]], codec: str, as_rtsp: bool) -> None:
    with Camera([units[codec]], speed=4.0, codec=codec, as_rtsp=as_rtsp) as camera:
        frames, holes, dropped = played(camera.address)
    assert {frame.time for frame in frames} <= {Fraction(number, 5) for number in range(20)}
    assert (len(frames) + dropped, holes) == (20, [])
    for frame in frames:
        drawn = SCENE.draw(float(frame.time)).astype(int)
        assert np.abs(frame.pixels.astype(int) - drawn).mean() < 4


def test_a_named_pipe_gives_its_pictures(tmp_path: Path, units: dict[str, list[Unit]]) -> None:
    path, muxer = tmp_path / "pipe.ts", Muxer("H264")
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb") as pipe:
            for unit in units["H264"]:
                pipe.write(muxer.tables() + muxer.picture(unit.data, int(unit.time * 90_000)))

    thread = threading.Thread(target=write)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # so that the writer begins before the feed
    thread.start()
    frames, _, dropped = played(path.as_uri())
    os.close(reader)
    thread.join()
    assert len(frames) + dropped == 20


def test_a_named_pipe_is_read_beside_a_thousand_open_files(tmp_path: Path) -> None:
    """As a server has them with many callers: select(2) takes no descriptor from 1,024 on."""
    path = tmp_path / "pipe.ts"
    os.mkfifo(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as undone:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, hard), hard))
        undone.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1_100):
            undone.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        feed = Feed(path.as_uri())
        undone.callback(feed.close)
        path.write_bytes(b"packets")
        assert os.read(feed.file, 100) == b"packets"


def test_an_ordinary_file_is_no_stream(tmp_path: Path) -> None:
    """It would be played again and again, as if it were live."""
    path = tmp_path / "recorded.ts"
    path.write_bytes(b"packets")
    with pytest.raises(StreamUnreadable, match="ordinary file"):
        Feed(path.as_uri())
    with pytest.raises(StreamUnreadable, match="is not one of"):
        Feed(tmp_path.as_uri())


def test_a_login_is_made_by_digest_and_a_wrong_one_refused(units: dict[str, list[Unit]]) -> None:
    with Camera([units["H264"]], speed=20.0, login=("observer", "p%2Fw")) as camera:
        with pytest.raises(StreamUnreadable, match="requires a user"):
            Feed(camera.address.replace("observer", "nobody"))
        with pytest.raises(StreamUnreadable, match="requires a user"):
            Feed(camera.address.replace("observer:p%2Fw@", ""))
    with Camera([units["H264"]], speed=20.0, login=("observer", "pw")) as camera:
        frames, _, _ = played(camera.address)
    assert frames
    assert camera.asked[:4] == ["DESCRIBE", "DESCRIBE", "SETUP", "PLAY"]


GSTREAMER = {
    "H264": "x264enc tune=zerolatency key-int-max=25 ! rtph264pay config-interval=0",
    "B frames": "x264enc bframes=2 key-int-max=25 ! video/x-h264,profile=main ! rtph264pay config-interval=1",
    "H265": "x265enc tune=zerolatency key-int-max=25 ! rtph265pay config-interval=1",
    "MP2T": "x264enc tune=zerolatency key-int-max=25 ! mpegtsmux ! rtpmp2tpay",
}


@contextmanager
def gstreamer(encoder: str) -> Iterator[str]:
    script = REPOSITORY / "tests" / "support" / "gst_rtsp.py"
    command = ["/usr/bin/python3", str(script), encoder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"rtsp://127.0.0.1:{int(server.stdout.readline())}/live"
        finally:
            server.kill()


def has_gstreamer() -> bool:
    asked = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        return subprocess.run(["/usr/bin/python3", "-c", asked], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not has_gstreamer(), reason="GStreamer's RTSP server is not installed")
@pytest.mark.parametrize("kind", GSTREAMER)
def test_the_server_of_gstreamer_is_played(kind: str) -> None:
    with gstreamer(GSTREAMER[kind]) as address, Live(Feed(address), Sampling(), VideoLimits()) as live:
        frames = [live.take(20.0) for _ in range(5)]
        assert (live.holes(), live.error) == ([], None)
    assert None not in frames
    assert {frame.pixels.shape for frame in frames if frame is not None} == {(240, 320, 3)}
    assert all(frame.pixels.max() > 200 for frame in frames if frame is not None)


def test_after_a_lost_packet_pictures_are_left_out_up_to_the_next_key_frame(units: dict[str, list[Unit]]) -> None:
    for codec, made in units.items():
        whole = [packet for unit in made for packet in RtpSender(codec).packets(unit)]
        assert whole  # the senders of single pictures below number their packets in one row
        sender, pictures = RtpSender(codec), Depacketizer(codec, 96)
        rows = [sender.packets(unit) for unit in made]
        lost = rows[30].pop(0)
        assert lost
        found = [picture.ticks for row in rows for packet in row for picture in pictures.add(packet)]
        assert found == [3_600 * place for place in range(100) if not 30 <= place < 50]
        assert pictures.lost == 1


def test_parameters_of_the_description_go_before_key_frames_without_their_own() -> None:
    pictures = Depacketizer("H264", 96, (b"\x67sps", b"\x68pps"))
    (packet,) = RtpSender("H264").packets(Unit(Fraction(0), b"\0\0\0\x01\x65key"))
    (picture,) = pictures.add(packet)
    assert nal_units(picture.data) == [b"\x09\xf0", b"\x67sps", b"\x68pps", b"\x65key"]


@given(st.lists(st.binary(max_size=60), max_size=30), st.sampled_from(["H264", "H265"]))
def test_packets_of_anything_give_pictures_or_nothing(rest: list[bytes], codec: str) -> None:
    pictures = Depacketizer(codec, 96)
    for number, data in enumerate(rest):
        head = b"\x80\xe0" + number.to_bytes(2, "big") + bytes(8)
        for packet in (data, head + data, b"\xff\x60" + head[2:] + data):
            list(pictures.add(packet))


SDP = (
    "v=0\r\na=control:*\r\nm=video 0 RTP/AVP 26\r\na=control:jpeg\r\nm=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n"
    "a=fmtp:97 packetization-mode=1; sprop-parameter-sets=Z0LAHg==,aM4=\r\na=control:track2\r\n"
)


def test_a_description_names_the_first_video_that_can_be_decoded() -> None:
    media = read_description(SDP, "rtsp://camera/live")
    assert (media.codec, media.payload_type, media.control) == ("H264", 97, "rtsp://camera/live/track2")
    assert media.parameters == (b"\x67\x42\xc0\x1e", b"\x68\xce")
    other = read_description(SDP.replace("control:track2", "control:rtsp://other/x"), "rtsp://camera/live")
    assert other.control == "rtsp://other/x"  # asked for over the same connection, whatever it names
    with pytest.raises(StreamUnreadable, match="no video"):
        read_description(SDP.replace("H264", "VP8"), "rtsp://camera/live")


@given(st.text(max_size=200))
def test_descriptions_of_anything_are_refused(text: str) -> None:
    with pytest.raises(StreamUnreadable):
        read_description(f"v=0\r\n{text}", "rtsp://camera/live")


HOSTILE = {
    "no RTSP": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
    "an endless head": b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * 20_000,
    "a body without end": b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 10000000\r\n\r\n",
    "a refusal": b"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n",
    "no video": b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nv=0",
    "a length of 5000 digits": b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n",
    "an address that none is": b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Base: rtsp://[\r\nContent-Length: 33\r\n\r\n"
    b"m=video 0 RTP/AVP 33\na=control:x\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_server_is_refused(kind: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sending = threading.Thread(target=lambda: suppressed(theirs, HOSTILE[kind]))
        sending.start()
        ours.settimeout(10)
        with pytest.raises(StreamUnreadable):
            RtspSession(ours, "rtsp://camera/live", time.monotonic)
        ours.close()
        sending.join()


@pytest.mark.parametrize("part", [b"$\0\0\x01x", b"R"])
def test_a_server_that_never_comes_to_play_is_refused_in_time(part: bytes) -> None:
    """It sends a little, again and again, so that no single read waits for long."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # each send is one read
    seconds = itertools.count()

    def trickle() -> None:
        for _ in range(200):
            suppressed(theirs, part, ends=False)
        suppressed(theirs, part)

    with ours, theirs:
        sending = threading.Thread(target=trickle)
        sending.start()
        ours.settimeout(10)
        with pytest.raises(TimeoutError):
            RtspSession(ours, "rtsp://camera/live", lambda: float(next(seconds)))
        ours.close()
        sending.join()


def test_a_challenge_of_one_long_word_costs_no_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        challenge = b"RTSP/1.0 401 No\r\nCSeq: 1\r\nWWW-Authenticate: Digest " + b"a" * 30_000 + b"\r\n\r\n"
        sending = threading.Thread(target=lambda: suppressed(theirs, challenge * 2))
        sending.start()
        ours.settimeout(10)
        began = time.process_time()
        with pytest.raises(StreamUnreadable):
            RtspSession(ours, "rtsp://u:p@camera/live", time.monotonic)
        assert time.process_time() - began < 1
        sending.join()


def test_a_length_of_5000_digits_among_the_packets_ends_the_stream() -> None:
    head = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n"
    described = head + b"Content-Length: 21\r\n\r\nm=video 0 RTP/AVP 33\n"
    garbage = b"RTSP/1.0 200 OK\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                suppressed(connection, described + 2 * (head + b"\r\n") + garbage, ends=False)
                connection.settimeout(20)
                with suppress(OSError):
                    while connection.recv(4_096):
                        pass

        serving = threading.Thread(target=serve)
        serving.start()
        feed = Feed(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live")
        ready, _, _ = select.select([feed.file], [], [], 20)
        assert ready, "the pipe does not end"
        assert os.read(feed.file, 1) == b""
        feed.close()
        serving.join()


def test_a_picture_of_a_million_crumbs_is_dropped() -> None:
    """The limit of a picture counts what its parts cost, so that memory stays bounded."""
    pictures = Depacketizer("H264", 96)
    crumbs = b"\x18" + b"\0\x02\x65x" * 16_000
    tracemalloc.start()
    for number in range(24):
        list(pictures.add(b"\x80\x60" + number.to_bytes(2, "big") + bytes(8) + crumbs))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 13 * 2**20


def suppressed(connection: socket.socket, data: bytes, ends: bool = True) -> None:
    with suppress(OSError):
        connection.sendall(data)
        if ends:
            connection.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    "address",
    [
        *("http://camera/x", "rtsp:///x", "tcp://camera", "file://host/x", "file:", "rtsp://camera:99999/x", "/x"),
        *("tcp://.a..b:99", f"rtsp://{'a' * 64}.example/x", "file:///x%00y", "file:///x\0y", "tcp://a\0b:99"),
        *("file:///x\ud800", "tcp://a\ud800:99"),
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(StreamUnreadable):
        require_address(address)


def test_a_decoder_that_breaks_during_a_stream_is_the_reason_for_its_end(units: dict[str, list[Unit]]) -> None:
    others = set(children_of(os.getpid()))
    with Camera([units["H264"]]) as camera, Live(Feed(camera.address), Sampling(), VideoLimits()) as live:
        assert live.take(20.0) is not None
        (decoder,) = set(children_of(os.getpid())) - others
        os.kill(decoder, signal.SIGSEGV)
        while not live.is_over:
            live.take(20.0)
        assert live.why is Why.UNREADABLE


def test_packets_of_a_transport_stream_are_read_as_rtp() -> None:
    """With contributing sources, an extension and padding; packets of another payload type are left out."""
    head = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n"
    described = head + b"Content-Length: 21\r\n\r\nm=video 0 RTP/AVP 33\n"
    fixed = struct.pack(">HII", 1, 2, 3)
    packets = [
        b"\x80\x21" + fixed + b"plain",
        b"\xb1\x21" + fixed + b"csrc" + b"\xbe\xde\0\x01more" + b"whole" + b"\0\0\x03",
        b"\x80\x60" + fixed + b"another",
    ]
    sent = b"".join(b"$\0" + len(packet).to_bytes(2, "big") + packet for packet in packets)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(described + 2 * (head + b"\r\n") + sent)
        theirs.shutdown(socket.SHUT_WR)
        chunks = RtspSession(ours, "rtsp://camera/live", time.monotonic).chunks()
        assert [next(chunks), next(chunks)] == [b"plain", b"whole"]
        with pytest.raises(ConnectionResetError):
            next(chunks)


def test_a_session_that_ends_at_its_beginning_takes_no_file_from_its_decoder(units: dict[str, list[Unit]]) -> None:
    """Its number could be that of another file by then."""
    for _ in range(8):
        with Camera([units["H264"]], codec="H264") as camera:
            live = Live(Feed(camera.address), Sampling(), VideoLimits())
            live.close()
            assert not isinstance(live.error, InternalError)
