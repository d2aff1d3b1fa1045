"""A real RTSP server (GStreamer's), run as a process of its own by the system's Python: `rtsp_server.py PORT`.

Serves /mjpeg and /h264, 320x240 at 30 Hz, until it is killed. Debian: gir1.2-gst-rtsp-server-1.0 python3-gi
gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PICTURES = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1"
ENCODERS = {
    "/mjpeg": "video/x-raw,format=I420 ! jpegenc ! rtpjpegpay name=pay0",
    "/h264": "x264enc tune=zerolatency key-int-max=15 ! rtph264pay name=pay0",
}

Gst.init(None)
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
for path, encoder in ENCODERS.items():
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(f"( {PICTURES} ! videoconvert ! {encoder} )")
    factory.set_shared(True)
    server.get_mount_points().add_factory(path, factory)
if not server.attach(None):
    raise SystemExit(f"port {sys.argv[1]} cannot be served")
print("ready", flush=True)
GLib.MainLoop().run()
