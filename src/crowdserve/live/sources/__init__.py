"""Where frames come from: a source is opened, and yields frames until it is lost or ends.

    rtsp://… rtmp://… srt://… HLS, files, /dev/video0 ─ video ─┐
    http://… multipart/x-mixed-replace ─────────────── mjpeg ──┼─► Frame, as fast as they come
    http://… image/*, a folder ───────────────────── stills ───┘

kinds.py   the source of an address        web.py     HTTP: credentials, limits, what an address serves
video.py   PyAV, which is FFmpeg           mjpeg.py   a stream of JPEG files
stills.py  a snapshot, a folder
"""

from crowdserve.live.sources.kinds import open_source

__all__ = ["open_source"]
