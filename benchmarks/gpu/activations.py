"""A network in one precision, with the extremes of its activations."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.gpu.networks import Network
from benchmarks.gpu.precision import Precision
from crowdserve.images import Rgb
from crowdserve.nets.normalisation import normalise, pad_black
from crowdserve.nets.ssdcnet import Division, SSDCNet


def prepared(network: Network, photo: Rgb, device: str) -> Tensor:
    """A photo as a network takes it: padded, normalised, FP32 [1, 3, H, W] on the device, channels last."""
    pixels = normalise(pad_black(photo, network.multiple)[None], network.normalisation)
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a network says of a photo in one precision.

    Attributes:
        count: People, summed in FP32.
        division: SSDCNet's steps; None for another network.
    """

    count: float
    division: Division | None


class ObservedNetwork:
    """A network in one precision that counts photos, and notes what its convolutions put out.

    Attributes:
        largest: The largest finite |output| of each convolution so far, by its name.
        not_finite: Photos with an infinite or undefined output of a convolution, or such a count.
        table: SSDCNet's count of each class.
    """

    def __init__(self, network: Network, precision: Precision, device: str) -> None:
        self.largest: dict[str, float] = {}
        self.not_finite = 0
        self._precision = precision
        self._module = network.on(device, precision.dtype)
        self.table: Tensor | None = getattr(self._module, "table", None)
        self._seen: dict[str, Tensor] = {}
        for name, layer in self._module.named_modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(self._observer(name))

    def answer(self, images: Tensor) -> Answer:
        """Count the people of one photo, normalised [1, 3, H, W] in FP32 on the device."""
        images = images.to(self._precision.dtype)
        self._precision.choose()
        self._seen.clear()
        with torch.inference_mode():
            division = None
            if isinstance(self._module, SSDCNet):
                division = self._module.divide(self._module.taps(images))
                people = division.div2.float().sum()
            else:
                people = self._module(images).float().sum()
            return Answer(self._note(people), division)

    def _observer(self, name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            largest = torch.stack([output.amax(), -output.amin()]).amax().float()  # a NaN passes through each of them
            seen = self._seen.get(name)
            self._seen[name] = largest if seen is None else torch.maximum(seen, largest)

        return hook

    def _note(self, people: Tensor) -> float:
        """Fetch everything at once, so that the device waits once a photo."""
        *values, count = torch.stack([*self._seen.values(), people]).tolist()
        self.not_finite += not np.isfinite([*values, count]).all()
        for name, value in zip(self._seen, values, strict=True):
            if np.isfinite(value):
                self.largest[name] = max(value, self.largest.get(name, 0.0))
        return float(count)
