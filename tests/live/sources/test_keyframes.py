import av
import pytest

from crowdserve.live.errors import SourceLost
from crowdserve.live.sources import keyframes
from crowdserve.live.sources.keyframes import Damage, Keyframes


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([0, 2, 4, 6], [False, True, True, True]),
        ([0, 9, 18], [False, False, False]),
        ([0, 2, 4, 13, 15], [False, True, True, False, False]),
    ],
)
def test_when_keyframes_suffice(moments: list[float], expected: list[bool]) -> None:
    keyframes = Keyframes(5)
    assert [keyframes.suffice(moment) for moment in moments] == expected


def test_a_stream_that_sends_no_keyframe_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    damage, frame = Damage(5), av.VideoFrame(16, 16)
    assert damage.spares(frame)
    damage.found()
    assert not damage.spares(frame)
    monkeypatch.setattr(keyframes, "_LEAST_SECONDS", 0)
    damage = Damage(0)
    damage.found()
    with pytest.raises(SourceLost, match="lost on its way"):
        damage.spares(frame)
