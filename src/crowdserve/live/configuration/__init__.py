"""The configuration of a watcher: `cameras.yaml` to a `Site`, with a message and a line for each fault.

    cameras.yaml ─ document: values and their lines ─ secrets filled in ─ site: types, limits, names ─► Site

document.py  YAML to values, and the line of each
site.py      what a site can say: cameras, webhooks, history, pictures
zones.py     what a zone can say: polygon, area, limits
reading.py   a file to a site
faults.py    what is wrong with a setting, in words
"""

from crowdserve.live.configuration.reading import Configuration, read_configuration
from crowdserve.live.configuration.site import MAX_CAMERAS, Calibration, Camera, History, Pictures, Site, Webhook
from crowdserve.live.configuration.zones import PICTURE, WatchedZone

__all__ = [
    "MAX_CAMERAS",
    "PICTURE",
    "Calibration",
    "Camera",
    "Configuration",
    "History",
    "Pictures",
    "Site",
    "WatchedZone",
    "Webhook",
    "read_configuration",
]
