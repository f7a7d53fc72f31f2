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
        ("/srv/a.mp4", "/srv/b.mp4"),
    ],
)
def test_other_sources(one: str, other: str) -> None:
    assert identity_of(one) != identity_of(other)


def test_the_longest_address_is_looked_at_at_once() -> None:
    started = time.thread_time()
    identity_of("http://cam/" + "keypass" * 290)
    assert time.thread_time() - started < 5
