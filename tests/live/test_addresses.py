"""Which addresses are of the same source."""

import time

import pytest

from crowdserve.live.addresses import identity_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rtsp://10.0.0.7/1", "rtsp://user:p%40ss@10.0.0.7/1"),
        ("RTSP://CAM.local/1", "rtsp://cam.local/1"),
        ("http://cam/snap.cgi?user=a&pwd=b&channel=1", "http://cam/snap.cgi?user=c&pwd=&channel=1"),
        (
            "rtsp://cam/user=a_password=b_c_channel=1_stream=0.sdp",
            "rtsp://cam/user=a_password=d_channel=1_stream=0.sdp",
        ),
        ("http://cam/video?access_token=a", "http://cam/video?access_token=b"),
        (
            "http://cam/videostream.cgi?loginuse=a&loginpas=b&rate=0",
            "http://cam/videostream.cgi?loginuse=c&loginpas=&rate=0",
        ),
        (
            "http://cam/a?api_key=1&X-Amz-Signature=2&sessionId=3",
            "http://cam/a?api_key=4&X-Amz-Signature=5&sessionId=6",
        ),
        ("rtmp://cam/live?streamkey=1&view_user=a", "rtmp://cam/live?streamkey=2&view_user=b"),
        ("http://cdn/a.m3u8?txSecret=1&wsSecret=2", "http://cdn/a.m3u8?txSecret=3&wsSecret=4"),
        ("http://cdn/a?wowzatokenhash=1;JSESSIONID=2", "http://cdn/a?wowzatokenhash=3;JSESSIONID=4"),
        ("http://cam/a?refresh_token=1&userpassw=2&authcode=3", "http://cam/a?refresh_token=4&userpassw=5&authcode=6"),
        ("0", "/dev/video0"),
        ("file:///srv/a.mp4", "/srv/a.mp4"),
    ],
)
def test_the_same_source(one: str, other: str) -> None:
    assert identity_of(one) == identity_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rtsp://10.0.0.7/1", "rtsp://10.0.0.8/1"),
        ("rtsp://10.0.0.7/1", "rtsp://10.0.0.7/2"),
        ("rtsp://10.0.0.7:554/1", "rtsp://10.0.0.7:555/1"),
        ("rtsp://nvr/cam?channel=1&subtype=0", "rtsp://nvr/cam?channel=2&subtype=0"),
        ("rtsp://cam/user=a_password=b_channel=1_stream=0.sdp", "rtsp://cam/user=a_password=b_channel=2_stream=0.sdp"),
        ("http://cam/?pwd=a&side=left", "http://cam/?pwd=a&side=right"),
        ("http://cam/?signal=1", "http://cam/?signal=2"),
        ("http://cam/?design=1&keyframe=2", "http://cam/?design=1&keyframe=3"),
        ("http://cam/?author=a&monkey=1", "http://cam/?author=b&monkey=1"),
        ("http://cam/?user_defined_channel=1", "http://cam/?user_defined_channel=2"),
        ("http://cam/?donkey=1&bypass=1&assign=1", "http://cam/?donkey=1&bypass=2&assign=1"),
        ("http://cam/passage=1/a", "http://cam/passage=2/a"),
        ("/srv/a.mp4", "/srv/b.mp4"),
    ],
)
def test_other_sources(one: str, other: str) -> None:
    assert identity_of(one) != identity_of(other)


def test_the_longest_address_is_looked_at_at_once() -> None:
    started = time.thread_time()
    for odd in ("keypass", "key=", "_a", "_key=a", "user", "=", "a.-", "_a="):
        identity_of("http://cam/" + odd * (2048 // len(odd)))
    assert time.thread_time() - started < 5
