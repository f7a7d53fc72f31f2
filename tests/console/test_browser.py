"""The console in a real browser without a window: Debian's Chromium, driven by Playwright. `make console-test`.

With CROWDSERVE_SCREENSHOTS, a folder, every page is photographed there: light and dark, wide and narrow.
"""

import importlib.util
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crowdserve.local.service import EmbeddedService
from tests.support.cameras import TestCamera, running_camera
from tests.support.consoles import TOKEN, Watching, watched
from tests.support.nginx import NGINX, nginx
from tests.support.paths import ROOT
from tests.support.sqlite import locked

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not os.environ.get("CROWDSERVE_CONSOLE_TEST"), reason="make console-test"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="needs playwright and axe"),
]

FILE = """\
cameras:
  - name: platform
    source: %s/stream
    every: 0.3s
    route: dense
    average_over: 1
history: {url: "sqlite:///%s/history.db"}
metrics_port: null
"""
BELOW_A_PATH = """\
    location = /crowd/console { return 308 console/; }
    location /crowd/console/ { proxy_pass %s/; proxy_set_header Host $http_host; client_max_body_size 64m; }
"""
ZONES = "[{name: yellow line, polygon: [[0.1, 0.5], [0.9, 0.5], [0.9, 0.9], [0.1, 0.9]], area_m2: 40, limit: 50}]"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHOTO = ROOT / "examples/pedestrians.jpg"
WAIT_MS = 20_000
DROP = """(bytes) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], 'photo.jpg'));
  dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def camera() -> Iterator[TestCamera]:
    with running_camera() as running:
        yield running


@pytest.fixture
def watching(camera: TestCamera, small_service: EmbeddedService, tmp_path: Path) -> Iterator[Watching]:
    file = tmp_path / "cameras.yaml"
    file.write_text(FILE % (camera.url, tmp_path))
    with watched(file, small_service.http_url) as running:
        yield running


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """A page that has seen no error, and loaded nothing from elsewhere, when the test is over."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened, faults = context.new_page(), list[str]()
    opened.set_default_timeout(WAIT_MS)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if "Policy" in message.text else None)
    opened.on(
        "request", lambda asked: faults.append(asked.url) if not re.match("(http://127|blob:)", asked.url) else None
    )
    yield opened
    context.close()
    assert faults == []


def until(page: "Page", condition: Callable[[], bool]) -> None:
    """Wait as a person does, by looking: the pages' policy lets nobody evaluate a text in them."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while not condition():
        assert time.monotonic() < deadline, page.locator("main").inner_text()
        page.wait_for_timeout(100)


def is_shown(page: "Page", image: str) -> bool:
    found = page.locator(image)
    return found.count() > 0 and bool(found.first.evaluate("image => image.naturalWidth > 0"))


def people(page: "Page", selector: str) -> float:
    text = page.locator(selector).first.inner_text()
    found = re.match(r"[\d,]+", text)
    return float(found[0].replace(",", "")) if found else -1.0


def test_the_wall_is_live_and_says_when_it_is_not(watching: Watching, camera: TestCamera, page: "Page") -> None:
    page.goto(watching.url)
    page.wait_for_selector("text=platform")
    until(page, lambda: 260 < people(page, ".people") < 300)
    camera.brightness = (200, 200)
    until(page, lambda: people(page, ".people") > 900)
    until(page, lambda: is_shown(page, ".card img"))
    camera.cut = True
    page.wait_for_selector("text=no picture comes")
    assert people(page, ".people") == -1.0


def test_cameras_of_a_large_site_are_found(
    camera: TestCamera, small_service: EmbeddedService, tmp_path: Path, page: "Page"
) -> None:
    file = tmp_path / "cameras.yaml"
    away = "".join(f"  - {{name: gate-{number}, source: 'http://127.0.0.1:1/{number}'}}\n" for number in range(11))
    file.write_text((FILE % (camera.url, tmp_path)).replace("cameras:\n", "cameras:\n" + away))
    cards = page.locator(".card:visible")
    with watched(file, small_service.http_url) as watching:
        page.goto(watching.url)
        page.wait_for_selector("text=12 cameras")
        page.fill("#find", "GATE-1")
        page.wait_for_selector("text=2 of 12 cameras")
        assert [cards.nth(number).locator("h2").inner_text() for number in range(2)] == ["gate-1", "gate-10"]
        page.fill("#find", "")
        until(page, lambda: people(page, ".card:has-text('platform') .people") > 0)
        page.get_by_label("Show").select_option(label="over a limit, or not counted")
        page.wait_for_selector("text=11 of 12 cameras")
        assert cards.filter(has_text="platform").count() == 0
        camera.cut = True
        page.wait_for_selector("text=12 cameras")


def test_a_zone_that_is_drawn_is_counted_and_alerts(watching: Watching, camera: TestCamera, page: "Page") -> None:
    page.goto(f"{watching.url}camera?name=platform")
    page.fill("input[name=token]", TOKEN)
    page.keyboard.press("Enter")
    until(page, lambda: is_shown(page, ".canvas img"))
    page.click("text=Add a zone")
    box = page.locator("svg.zones").bounding_box()
    assert box is not None
    for x, y in ((0.02, 0.02), (0.5, 0.02), (0.5, 0.98), (0.02, 0.98), (0.02, 0.02)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.get_by_label("Limit, people", exact=True).fill("100")
    page.get_by_label("Area").fill("60")
    page.click("text=Save zones")
    page.wait_for_selector("text=kept in the configuration")
    page.wait_for_selector("#now th:has-text('zone-1')")
    counted = "#now tr:has(th:has-text('zone-1')) .large"
    until(page, lambda: people(page, counted) == pytest.approx(0.92 * 141, rel=0.1))
    camera.brightness = (200, 60)
    until(page, lambda: people(page, counted) > 400)
    page.wait_for_selector("#now tr:has(th:has-text('zone-1')) [data-level=critical]")
    page.wait_for_selector("#open-alerts:has-text('1 open')")
    page.goto(f"{watching.url}alerts")
    page.wait_for_selector("tr:has-text('▲ open'):has-text('platform'):has-text('zone-1')")


def test_zones_by_keyboard_and_what_is_wrong_with_them(watching: Watching, page: "Page") -> None:
    page.goto(f"{watching.url}camera?name=platform")
    page.fill("input[name=token]", "not-the-token-at-all")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=this is not the token")
    page.fill("input[name=token]", TOKEN)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Add a zone").press("Enter")
    page.keyboard.press("Escape")
    corners = page.get_by_label("Corners")
    corners.fill("0,0; 1")
    page.wait_for_selector("text=expected three corners or more")
    corners.fill("0,0; 1,1; 1,0; 0,1")
    page.get_by_role("button", name="Save zones").press("Enter")
    page.wait_for_selector("#outcome >> text=cross")
    corners.fill("0,0; 1,0; 1,0.5; 0,0.5")
    page.get_by_role("button", name="Save zones").press("Enter")
    page.wait_for_selector("text=kept in the configuration")
    page.get_by_text("As a table").press("Enter")
    assert page.locator("details table tbody tr").count() > 0


def test_of_two_who_change_zones_the_slower_one_is_told(watching: Watching, page: "Page", tmp_path: Path) -> None:
    def begun(opened: "Page", corners: str) -> None:
        opened.goto(f"{watching.url}camera?name=platform")
        if opened is page:  # the other tab has the same session
            opened.fill("input[name=token]", TOKEN)
            opened.keyboard.press("Enter")
        opened.click("text=Add a zone")
        opened.keyboard.press("Escape")
        opened.get_by_label("Corners").fill(corners)

    other = page.context.new_page()
    other.set_default_timeout(WAIT_MS)
    begun(page, "0,0; 1,0; 1,0.5; 0,0.5")
    begun(other, "0,0.5; 1,0.5; 1,1; 0,1")
    page.click("text=Save zones")
    page.wait_for_selector("text=kept in the configuration")
    written = (tmp_path / "cameras.yaml").read_text()
    other.click("text=Save zones")
    other.wait_for_selector("#outcome .fault:has-text('changed by somebody else meanwhile, and yours were not saved')")
    assert (tmp_path / "cameras.yaml").read_text() == written
    page.get_by_label("Corners").fill("0,0; 1,0; 1,0.7; 0,0.7")  # who has saved goes on from there
    page.click("text=Save zones")
    until(page, lambda: "0.7" in (tmp_path / "cameras.yaml").read_text())
    other.on("dialog", lambda dialog: dialog.accept())  # what was not saved goes
    other.reload()
    other.wait_for_selector("input[value='0,0; 1,0; 1,0.7; 0,0.7']")
    other.get_by_label("Corners").fill("0,0.5; 1,0.5; 1,1; 0,1")
    other.click("text=Save zones")
    other.wait_for_selector("text=kept in the configuration")


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
def test_every_page_under_a_path_of_a_proxy(watching: Watching, page: "Page", tmp_path: Path) -> None:
    folder = tmp_path / "nginx"
    folder.mkdir()
    console = watching.url.removesuffix("/")
    with nginx(folder, BELOW_A_PATH % console) as url:
        page.goto(f"{url}/crowd/console")
        assert page.url == f"{url}/crowd/console/"
        page.wait_for_selector("text=● live")
        until(page, lambda: people(page, ".people") > 0 and is_shown(page, ".card img"))
        page.click("text=platform")
        page.fill("input[name=token]", TOKEN)
        page.keyboard.press("Enter")
        page.click("text=Add a zone")
        page.keyboard.press("Escape")
        page.click("text=Save zones")
        page.wait_for_selector("text=kept in the configuration")
        until(page, lambda: page.locator("#history svg, #history p").count() > 0)
        page.click("nav >> text=Alerts")
        page.wait_for_selector("text=● live")
        page.click("text=Count a photo")
        page.set_input_files("#file", PHOTO)
        until(page, lambda: is_shown(page, "#result img"))
        page.click("nav >> text=Cameras")
        page.wait_for_selector("text=● live")
        assert page.url == f"{url}/crowd/console/"


def test_a_photo_is_counted(watching: Watching, page: "Page") -> None:
    page.goto(f"{watching.url}count")
    page.evaluate(DROP, list(PHOTO.read_bytes()))
    until(page, lambda: is_shown(page, "#result img"))
    before = people(page, "#result .people")
    page.click("text=Add a zone")
    page.keyboard.press("Escape")
    page.get_by_label("Corners").fill("0,0; 1,0; 1,1; 0,1")
    page.click("text=Count with these zones")
    page.wait_for_selector("#result td")
    assert float(page.locator("#result td").inner_text().replace(",", "")) == pytest.approx(before, abs=1)
    page.set_input_files("#file", {"name": "<b>bold</b>.jpg", "mimeType": "image/jpeg", "buffer": b"<b>bold</b>"})
    page.wait_for_selector("#result .fault")
    assert page.locator("#result b").count() == 0


def test_the_page_says_when_the_watcher_is_gone(
    camera: TestCamera, small_service: EmbeddedService, tmp_path: Path, page: "Page"
) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text(FILE % (camera.url, tmp_path))
    with watched(file, small_service.http_url) as watching:
        page.goto(watching.url)
        page.wait_for_selector("text=● live")
    page.wait_for_selector("text=not connected since")


def test_the_page_says_when_the_history_is_not_written(watching: Watching, tmp_path: Path, page: "Page") -> None:
    for name in ("", "camera?name=platform", "alerts"):
        page.goto(watching.url + name)
        page.wait_for_selector("text=● live")
        assert page.locator("#history-notice").is_hidden()
    with locked(tmp_path / "history.db"):
        page.wait_for_selector("text=The history has not been written since")
    until(page, lambda: page.locator("#history-notice").is_hidden())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_every_page_fits_its_window_and_can_be_used_by_everybody(
    camera: TestCamera, small_service: EmbeddedService, tmp_path: Path, browser: "Browser", width: int, scheme: str
) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text((FILE % (camera.url, tmp_path)).replace("average_over: 1", f"average_over: 1\n    zones: {ZONES}"))
    with watched(file, small_service.http_url) as watching:
        look_at_each_page(watching, browser, width, scheme)


def inaccessible(page: "Page") -> list[str]:
    """What axe finds against WCAG 2.2, levels A and AA, and against good practice."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    return [f"{rule['help']}: {node['html']}" for rule in found for node in rule["nodes"]]


def look_at_each_page(watching: Watching, browser: "Browser", width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,  # type: ignore[arg-type]
        bypass_csp=True,  # axe is a script from elsewhere
    )
    page = context.new_page()
    for name in ("", "camera?name=platform", "alerts", "count"):
        page.goto(watching.url + name)
        page.wait_for_selector("text=● live")
        if name == "":
            until(page, lambda: is_shown(page, ".card img"))
        if name == "alerts":
            page.wait_for_selector("tr:has-text('▲ open')")
        if name == "count":
            page.set_input_files("#file", PHOTO)
            until(page, lambda: is_shown(page, "#result img"))
        if name.startswith("camera"):
            until(page, lambda: page.locator("polygon.zone.over").is_visible())
            until(page, lambda: is_shown(page, ".canvas img"))
            page.fill("input[name=token]", TOKEN)
            page.keyboard.press("Enter")
            page.click("text=Add a zone")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert inaccessible(page) == []
        folder = os.environ.get("CROWDSERVE_SCREENSHOTS")
        if folder:
            page.screenshot(
                path=Path(folder) / f"{name.partition('?')[0] or 'wall'}-{scheme}-{width}.png", full_page=True
            )
    context.close()
