"""Where frames come from: a source is opened, and yields frames until it is lost or ends.

    rtsp://… rtmp://… srt://… HLS, files, /dev/video0 ─ video ─┐
    http://… multipart/x-mixed-replace ─────────────── mjpeg ──┼─► Frame, as fast as they come
    http://… image/*, a folder ───────────────────── stills ───┘

kinds.py   the source of an address        web.py     HTTP: credentials, limits, what an address serves
video.py   PyAV, which is FFmpeg           mjpeg.py   a stream of JPEG files
stills.py  a snapshot, a folder            https.py   videos over HTTPS, for FFmpeg
tls.py     certificates of FFmpeg's streams   decryption.py  encrypted segments
login.py   user and password of a URL             limits.py  the time that a picture may take
"""

from crowdserve.live.sources.kinds import open_source

__all__ = ["open_source"]
