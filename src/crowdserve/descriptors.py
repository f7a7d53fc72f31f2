"""How many files and connections this process may have open at once: the soft limit of the system is often 1,024."""

import logging
from contextlib import suppress

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


def allow_descriptors(needed: int, remedy: str) -> int | None:
    """Raise the soft limit of descriptors to what is needed, as far as the hard one lets it; it is never lowered.

    What needs more than it may have is told in the log, before connections are refused or files cannot be opened.

    Args:
        needed: Most descriptors that the process may need at once.
        remedy: What lets it need fewer, for the log.

    Returns:
        The limit from now on; None where there is none.
    """
    if resource is None:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    if soft < needed:
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):  # macOS has a further limit, which it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft < needed:
        log.warning(
            "this process may have %d files and connections open, and may need %d: raise the hard limit "
            "(ulimit -Hn, LimitNOFILE of systemd, --ulimit nofile of containers) or %s",
            soft,
            needed,
            remedy,
        )
    return soft
