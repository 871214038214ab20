"""Serves a test picture over RTSP with GStreamer's server, in the Python of the system; prints its port.

Run by `tests/unit/test_video_streams.py` where that Python has GStreamer; arguments: the encoder and payloader.
"""

import sys

import gi  # type: ignore[import-not-found] # of the Python of the system

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found] # noqa: E402 - after the versions

Gst.init(None)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 ! "
    f"{sys.argv[1]} name=pay0 pt=96 )"
)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
sys.stdout.write(f"{server.get_bound_port()}\n")
sys.stdout.flush()
GLib.MainLoop().run()
