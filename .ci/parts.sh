#!/bin/sh
# Debian packages that the tests use as real parts. Installed where that is allowed (root on Debian or Ubuntu);
# elsewhere the tests that need a missing part skip and say so.
set -eu
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need bwrap bubblewrap
need chromium chromium
need ffmpeg ffmpeg
need mosquitto mosquitto
need mplayer mplayer
need qemu-x86_64 qemu-user
need strace strace
need systemd-nspawn systemd-container
need valgrind valgrind
rtsp="import gi; gi.require_version('GstRtspServer', '1.0')"
/usr/bin/python3 -c "$rtsp" >/dev/null 2>&1 && gst-inspect-1.0 x264enc >/dev/null 2>&1 \
    || missing="$missing gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed:$missing; the tests that need them will skip (sudo apt-get install$missing)" >&2
    exit 0
fi
echo "installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || true
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null || echo "could not install all of:$missing" >&2
