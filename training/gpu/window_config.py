"""How windows of photos are drawn."""

from dataclasses import dataclass

WINDOW_MULTIPLE_PX = 64
"""Multiple of a window's sides: the coarsest cell of any network."""


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How windows are drawn; shares are of all windows of photos.

    Attributes:
        height: Height of a window, px; a multiple of 64.
        width: Width of a window, px; a multiple of 64.
        batch: Windows per step.
        scales: Limits of the random factor that photos are resized by.
        own_scale: Share that keeps nearly the photo's own scale.
        sigma_px: Width of the Gaussian on each head.
        empty: Share of all windows that show an image without people.
        cutout: Share of which a part is hidden behind an image without people.
        clutter: Share with clutter on the ground.
        confetti: Share behind confetti.
        jitter: Share in other light.
        grey: Share without colour.
        blur: Share out of focus.
        jpeg: Share that is compressed again.
        tiled: Share that shows small copies of a photo side by side.
    """

    height: int = 512
    width: int = 512
    batch: int = 16
    scales: tuple[float, ...] = (0.6, 1.6)
    own_scale: float = 0.4
    sigma_px: float = 8.0
    empty: float = 0.06
    cutout: float = 0.12
    clutter: float = 0.06
    confetti: float = 0.06
    jitter: float = 0.3
    grey: float = 0.15
    blur: float = 0.12
    jpeg: float = 0.12
    tiled: float = 0.02

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            side = getattr(self, name)
            if side < WINDOW_MULTIPLE_PX or side % WINDOW_MULTIPLE_PX:
                raise ValueError(f"--{name} {side}: must be a multiple of {WINDOW_MULTIPLE_PX} px")
        if self.batch < 1:
            raise ValueError(f"--batch {self.batch}: must be at least 1")
        if len(self.scales) != 2 or not 0 < self.scales[0] <= self.scales[1]:
            given = " ".join(map(str, self.scales))
            raise ValueError(f"--scales {given}: expected two factors over 0, the smaller first")
        if not self.sigma_px > 0:
            raise ValueError(f"--sigma-px {self.sigma_px}: must be over 0")
        for name in SHARES:
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(f"--{name.replace('_', '-')} {share}: a share is from 0 to 1")


SHARES = ("own_scale", "empty", "cutout", "clutter", "confetti", "jitter", "grey", "blur", "jpeg", "tiled")
"""The fields that are shares."""
