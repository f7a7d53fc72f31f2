"""Capture: a thread that reads a source and keeps its newest frame; older ones are dropped, never queued.

A source that is lost is opened again, after waits that grow.
"""

import logging
import threading
from collections.abc import Callable, Iterator

from crowdserve.live.backoff import BackOff
from crowdserve.live.errors import SourceEnded, SourceLost
from crowdserve.live.frames import Frame
from crowdserve.live.observations import ENDED, LOST, STARTING

log = logging.getLogger(__name__)

LIVE = "live"
_STOP_SECONDS = 2.0


class Capture:
    """Context manager around the thread.

    Args:
        name: The camera, for messages.
        open_frames: Opens the source.
        backoff: Waits between tries.
    """

    def __init__(self, name: str, open_frames: Callable[[], Iterator[Frame]], backoff: BackOff | None = None) -> None:
        self._name = name
        self._open = open_frames
        self._backoff = backoff or BackOff()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._newest: Frame | None = None
        self._last_at: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"capture {name}", daemon=True)
        self.state, self.detail = STARTING, "not connected yet"
        self.frames_read = self.reconnects = 0

    def __enter__(self) -> "Capture":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)  # a read that hangs ends with its own time limit

    def take(self) -> Frame | None:
        """The newest frame, once; None if there is none since the last call."""
        with self._lock:
            newest, self._newest = self._newest, None
        return newest

    def pause(self, seconds: float) -> None:
        """Wait, as a source does between its frames.

        Raises:
            SourceEnded: If the block ends meanwhile.
        """
        if self._stopping.wait(seconds):
            raise SourceEnded("it is not watched any more")

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read()
            except SourceEnded as err:
                self.state, self.detail = ENDED, str(err)
                return
            except SourceLost as err:
                self._lost(str(err))
            except Exception:  # a fault in one camera's stream must not end its watching
                log.exception("camera %s: reading failed", self._name)
                self._lost("it cannot be read, and the watcher's log says why")

    def _read(self) -> None:
        frames = self._open()
        try:
            for frame in frames:
                if self._stopping.is_set():
                    return
                self._arrived(frame)
            raise SourceLost("the source has ended")
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()

    def _arrived(self, frame: Frame) -> None:
        if frame.at == self._last_at:
            return  # a folder that is opened again begins with the picture that was its newest before
        self._last_at = frame.at
        with self._lock:
            self._newest = frame
        self.frames_read += 1
        if self.state != LIVE:
            log.info("camera %s: frames arrive", self._name)
            self.state, self.detail = LIVE, ""
        self._backoff.reset()

    def _lost(self, reason: str) -> None:
        wait_seconds = self._backoff.next_seconds()
        log.warning("camera %s: %s; connecting again in %.1f s", self._name, reason, wait_seconds)
        self.state, self.detail = LOST, reason
        self.reconnects += 1
        self._stopping.wait(wait_seconds)
