#!/usr/bin/python3
"""Debian's GStreamer RTSP server as a foreign source: a test picture through x264enc, with or without sound.

Needs python3-gi, gir1.2-gst-rtsp-server-1.0 and the plugin sets base, good, ugly (x264enc) and libav (AAC) of GStreamer 1.0.
Prints one JSON line, {"port": N, "pid": N, "url": "rtsp://..."}, when it accepts connections, and ends with the process that started it.
Its pipeline runs from DESCRIBE on, so that a client always joins in the middle of a group of pictures.
"""

import argparse
import ctypes
import json
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
# The kernel ends this process when its parent dies. First of all, since loading GStreamer takes a while.
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

import gi  # noqa: E402

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--path", default="/foreign")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--bitrate", type=int, default=2000, help="kbit/s")
    parser.add_argument("--gop", type=int, default=50, help="pictures from one key frame to the next")
    parser.add_argument("--b-frames", type=int, default=0, help="B pictures between two others; their times run back")
    parser.add_argument("--slices", type=int, default=1, help="slices a picture: each is a NAL unit of its own")
    parser.add_argument("--aggregate", action="store_true", help="pack small NAL units together (STAP-A, RFC 6184 5.7.1)")
    parser.add_argument("--audio", choices=["none", "pcma", "pcmu", "aac"], default="pcma")
    parser.add_argument("--shared", action="store_true", help="one encoder for all clients")
    parser.add_argument("--username", help="ask for Digest credentials; the password is in CAMERA_PASSWORD")
    return parser.parse_args()


def pipeline(arguments):
    """The launch line of the media: live sources, one payloader a track."""
    width, height = arguments.size.split("x")
    video = (
        "videotestsrc is-live=true pattern=ball"
        f" ! video/x-raw,format=I420,width={width},height={height},framerate={arguments.fps}/1"
        f" ! x264enc speed-preset=ultrafast bitrate={arguments.bitrate} key-int-max={arguments.gop} bframes={arguments.b_frames}"
        f" b-adapt=false option-string=scenecut=0:slices={arguments.slices} {'' if arguments.b_frames else 'tune=zerolatency'}"
        f" ! video/x-h264,profile={'main' if arguments.b_frames else 'constrained-baseline'}"
        f" ! rtph264pay name=pay0 pt=96 config-interval=-1 aggregate-mode={'zero-latency' if arguments.aggregate else 'none'}"
    )
    tone = "audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate={rate},channels=1 ! {encoder}"
    audio = {
        "none": "",
        "pcma": tone.format(rate=8000, encoder="alawenc ! rtppcmapay name=pay1 pt=8"),
        "pcmu": tone.format(rate=8000, encoder="mulawenc ! rtppcmupay name=pay1 pt=0"),
        "aac": tone.format(rate=48000, encoder="avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97"),
    }[arguments.audio]
    return f"( {video} {audio} )"


def ask_for_credentials(server, factory, username):
    """Digest (MD5) with one user who may look and play."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_digest(username, os.environ.get("CAMERA_PASSWORD", ""), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


def main():
    arguments = read_arguments()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address(arguments.host)
    server.set_service(str(arguments.port))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline(arguments))
    factory.set_shared(arguments.shared)
    if arguments.username:
        ask_for_credentials(server, factory, arguments.username)
    server.get_mount_points().add_factory(arguments.path, factory)
    loop = GLib.MainLoop()
    for number in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, loop.quit)
    if server.attach(None) == 0:
        print(f"cannot listen on {arguments.host}:{arguments.port}", file=sys.stderr)
        return 1
    port = server.get_bound_port()
    print(json.dumps({"port": port, "pid": os.getpid(), "url": f"rtsp://{arguments.host}:{port}{arguments.path}"}), flush=True)
    loop.run()
    return 0


sys.exit(main())
