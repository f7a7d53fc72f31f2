"""The networks in PyTorch, with served weights, weights from a file, or random ones: speed does not depend on them."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from crowdserve.cards import IMAGENET_CAFFE, IMAGENET_UNIT, Normalisation
from crowdserve.errors import WeightsError
from crowdserve.nets.served_weights import MODEL_FILE
from crowdserve.nets.ssdcnet import STRIDE, SSDCNet, served_state
from crowdserve.nets.tensor_file import read_tensors
from crowdserve.nets.torch_csrnet import CSRNet, served_csrnet_state, vgg_layers

FEWEST_CLASSES = 11
"""Classes of an SSDCNet whose counts end at 0; two more for each person."""

SEED = 2026


@dataclass(frozen=True, slots=True)
class Network:
    """A network that is measured.

    Attributes:
        name: Its family's name.
        module: In FP32, on the CPU.
        weights: Where the weights come from.
        normalisation: Of the input.
        multiple: Height and width are padded to multiples of it, in px.
        size: Width and height, if there is one only.
    """

    name: str
    module: nn.Module
    weights: str
    normalisation: Normalisation
    multiple: int
    size: tuple[int, int] | None = None

    def padded(self, width: int, height: int) -> tuple[int, int]:
        """Width and height with the padding that the network needs."""
        return width + -width % self.multiple, height + -height % self.multiple

    def on(self, device: str, dtype: torch.dtype) -> nn.Module:
        """A copy of the module, channels last, ready to run.

        The table of counts stays in FP32, so that only the choice of a class can depend on the type.
        """
        module = copy.deepcopy(self.module).eval().requires_grad_(False)
        table = module.table if isinstance(module, SSDCNet) else None
        module = module.to(device, dtype, memory_format=torch.channels_last)
        if table is not None:
            module.table = table.to(device)
        return module


def csrnet(source: Path | None) -> Network:
    """CSRNet with weights from a file of a state dict (.npz), a served version's folder, or random ones."""
    module = CSRNet()
    if source and source.is_dir():
        _fill(module, served_csrnet_state(source), source)
    elif source:
        _fill(module, _state(source), source)
    else:
        randomise(module)
    return Network("csrnet", module, str(source or "random"), IMAGENET_CAFFE, 8)


def ssdcnet(source: Path | None) -> Network:
    """SSDCNet with weights from a file of a state dict (.npz), a served version's folder, or random ones."""
    if source is None:
        module = SSDCNet(22)
        randomise(module)
    else:
        state = served_state(source) if source.is_dir() else _state(source)
        key = "back_end_cls.3.weight"
        if key not in state:
            raise WeightsError(f"{source} has no {key}; give the state dict of an SSDCNet")
        module = SSDCNet((len(state[key]) - FEWEST_CLASSES) / 2)
        _fill(module, state, source)
    return Network("ssdcnet", module, str(source or "random"), IMAGENET_UNIT, STRIDE)


def vgg16() -> Network:
    """VGG16 without its head, with random weights: the scene classifier's network."""
    module = nn.Sequential(*vgg_layers(blocks=5, pools=5))
    randomise(module)
    return Network("vgg16", module, "random", IMAGENET_CAFFE, 32, size=(224, 224))


def served_folder(repository: Path, family: str) -> Path | None:
    """The first served version of a family's network, if its model file is there."""
    folders = sorted(path.parent for path in repository.glob(f"{family}*/*/{MODEL_FILE}"))
    return folders[0] if folders else None


def randomise(module: nn.Module) -> None:
    """He's initialisation with a fixed seed, which keeps activations at the input's scale."""
    generator = torch.Generator().manual_seed(SEED)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)


def _state(path: Path) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in read_tensors(path).items()}


def _fill(module: nn.Module, state: dict[str, Tensor], source: Path) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as err:
        raise WeightsError(f"{source} does not fit {type(module).__name__} ({err}); give its state dict") from err
