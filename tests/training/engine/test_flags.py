"""The command line of the training scripts."""

import dataclasses

import pytest

from training.data.crop_config import FORMER_NAMES, CropConfig, current_names
from training.engine.flags import read_flags

COMMAND = ["train", "photos", "more", "--card", "csrnet_a", "--output", "run"]


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe(CropConfig):
    """As the networks have theirs.

    Attributes:
        pools: Sides of
            blocks.
        rate: From 0 to 100 %.
    """

    pools: tuple[int, ...] = (2, 4)
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.rate > 1:
            raise ValueError(f"--rate {self.rate}: must be at most 1")


@pytest.fixture
def read(monkeypatch):
    def read(*arguments):
        monkeypatch.setattr("sys.argv", [*COMMAND, *arguments])
        return read_flags("Train.", Recipe, "csrnet")

    return read


def test_without_flags_the_recipe_is_its_defaults(read):
    flags, recipe = read()
    assert recipe == Recipe()
    assert [path.name for path in flags.datasets] == ["photos", "more"]


def test_each_field_has_a_flag(read):
    _, recipe = read("--pools", "3", "9", "--rate", "0.25", "--mirrored", "--sigma-px", "adaptive", "--crop-cells", "8")
    assert recipe == Recipe(pools=(3, 9), rate=0.25, mirrored=True, sigma_px=None, crop_cells=8)


@pytest.mark.parametrize(("name", "former"), FORMER_NAMES.items())
def test_former_names_of_flags_and_recorded_fields_still_count(read, name, former):
    _, recipe = read(f"--{former.replace('_', '-')}", "0.25")
    assert recipe == Recipe(**{name: 0.25})
    recorded = {former if field == name else field: value for field, value in dataclasses.asdict(recipe).items()}
    assert Recipe(**current_names(recorded)) == recipe


def test_help_says_what_the_recipe_says(read, capsys):
    with pytest.raises(SystemExit, match="0"):
        read("--help")
    told = " ".join(capsys.readouterr().out.split())
    assert "--pools [CELLS ...] Sides of blocks. Default: 2 4." in told
    assert "--rate RATE From 0 to 100 %. Default: 0.5." in told
    assert "--mirrored Use mirrored photos too; doubles a cache of features." in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--rate", "2"), "--rate 2.0: must be at most 1"), (("--rate", "fast"), "invalid float")],
)
def test_invalid_flags_print_one_line(read, arguments, message, capsys):
    with pytest.raises(SystemExit):
        read(*arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]
