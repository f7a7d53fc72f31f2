"""Sources on a command line, as a site."""

from collections.abc import Sequence

from pydantic import ValidationError

from crowdserve.errors import SetupError
from crowdserve.live.configuration import Configuration, Site
from crowdserve.live.secrets import Secrets
from crowdserve.protocol.zones import Zone, described


def configuration_of_sources(
    sources: Sequence[str], every: str, zones: Sequence[Zone], history: str | None, metrics_port: int | None
) -> Configuration:
    """A site of cameras with the same zones; without history and metrics unless they are asked for.

    Raises:
        SetupError: If one of the arguments cannot be.
    """
    secrets = Secrets()
    try:
        cameras = [
            {"name": f"camera-{number}", "source": secrets.filled_in(source), "every": every, "zones": described(zones)}
            for number, source in enumerate(sources, start=1)
        ]
        site = Site.model_validate({"cameras": cameras, "history": {"url": history}, "metrics_port": metrics_port})
    except ValidationError as err:
        texts = dict.fromkeys(each["msg"].removeprefix("Value error, ") for each in err.errors())
        raise SetupError(secrets.hide("; ".join(texts))) from None
    except ValueError as err:
        raise SetupError(secrets.hide(str(err))) from None
    return Configuration(site, secrets)
