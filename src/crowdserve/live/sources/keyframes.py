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
    """What was lost of a stream on its way, which all frames before the next keyframe lack.

    Args:
        every_seconds: How often frames are wanted.
    """

    def __init__(self, every_seconds: float) -> None:
        self._patience = max(every_seconds, _LEAST_SECONDS)
        self._since: float | None = None

    def found(self) -> None:
        """Something was lost."""
        self._since = time.monotonic() if self._since is None else self._since

    def spares(self, frame: VideoFrame) -> bool:
        """Whether a frame is made of all that it needs.

        Raises:
            SourceLost: If no keyframe has come for long; of a stream that is opened again, one comes first.
        """
        if frame.key_frame:
            self._since = None
            return True
        if frame.is_corrupt:
            self.found()
        if self._since is None:
            return True
        if time.monotonic() - self._since > self._patience:
            raise SourceLost("a part of the stream was lost on its way, and no keyframe has come since")
        return False
