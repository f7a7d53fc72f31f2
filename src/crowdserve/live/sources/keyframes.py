"""Frames of a stream that are made of others: wrong without one of those since the last keyframe, however they look."""

import time

from av.video.frame import VideoFrame

from crowdserve.live.errors import SourceLost

_LEAST_SECONDS = 10.0


class Keyframes:
    """Whether the keyframes of a stream come as often as frames are wanted.

    It is decided when one comes: a frame between two needs all since the first.

    Args:
        every_seconds: How often frames are wanted.
    """

    def __init__(self, every_seconds: float) -> None:
        self._every = every_seconds
        self._last: float | None = None
        self._are_rare = False

    def suffice(self, now: float) -> bool:
        """Take one that comes now; whether those to come suffice."""
        gap, self._last = None if self._last is None else now - self._last, now
        self._are_rare |= gap is not None and gap > self._every
        return gap is not None and not self._are_rare


class Damage:
    """What was lost of a stream on its way, which all frames before the next whole keyframe lack.

    Frames leave a decoder later than their packets enter it, so a keyframe may leave it after a loss behind it.

    Args:
        every_seconds: How often frames are wanted.
    """

    def __init__(self, every_seconds: float) -> None:
        self._patience = max(every_seconds, _LEAST_SECONDS)
        self._since: float | None = None
        self._lost_at: int | None = None
        self._was_whole = False

    def found(self, at: int | None) -> None:
        """Something was lost.

        Args:
            at: When it would have been shown, by the stream's clock; None if that is not known.
        """
        self._since, self._lost_at = time.monotonic() if self._since is None else self._since, at

    def spares(self, frame: VideoFrame) -> bool:
        """Whether a frame is made of all that it needs.

        Raises:
            SourceLost: If no keyframe has come for long; of a stream that is opened again, one comes first.
        """
        if frame.key_frame and self._is_whole(frame):
            self._since, self._was_whole = None, True
            return True
        if frame.is_corrupt:
            self.found(frame.pts)
        if self._since is None:
            return True
        if time.monotonic() - self._since > self._patience:
            raise SourceLost("a part of the stream was lost on its way, and no keyframe has come since")
        return False

    def _is_whole(self, keyframe: VideoFrame) -> bool:
        """Whether nothing of a keyframe was lost, nor of what comes before it; some cameras send none without fault."""
        if keyframe.is_corrupt and self._was_whole:
            return False
        return self._since is None or self._lost_at is None or keyframe.pts is None or keyframe.pts > self._lost_at
