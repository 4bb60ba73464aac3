"""The pages in a real browser: its style is taken, its policy refuses nothing of ours, and nothing else is asked."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from fakes.service_view import KEYS, make_settings
from PIL import Image

from alta_sdk.service.web.server import WebServer

BAR, NOTICE = (0x2F, 0x6F, 0xBA), (0xFF, 0xF4, 0xDC)


def find_chromium():
    return next((path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None)


def open_page(url, folder):
    """Open a page; return what the browser said, its picture's pixels, and the addresses that the page asked."""
    log, shot = folder / "net.json", folder / "shot.png"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars"]
    options += ["--blink-settings=preferredColorScheme=1", "--window-size=1200,1400", f"--log-net-log={log}"]
    command = [find_chromium(), *options, f"--user-data-dir={folder / 'profile'}", f"--screenshot={shot}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=True)
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    asked = [event["params"] for event in events if "url" in event.get("params", {})]
    origin = "/".join(url.split("/")[:3])
    own = {one["url"] for one in asked if str(one.get("initiator", "")).startswith(origin) or one["url"] == url}
    with Image.open(shot) as image:
        return done.stderr, np.asarray(image.convert("RGB")).reshape(-1, 3), own


@pytest.mark.skipif(find_chromium() is None, reason="Chromium absent: apt-get install chromium")
@pytest.mark.parametrize("path", ["/worklist", f"/worklist/{KEYS['revised']}"])
def test_a_browser_shows_the_page_and_asks_nobody_else(view, tmp_path, path):
    server = WebServer(view, make_settings(tmp_path, port=0))
    server.start()
    origin = f"http://127.0.0.1:{server.port}"
    try:
        told, pixels, asked = open_page(origin + path, tmp_path)
    finally:
        server.stop()
    assert "Refused to" not in told and "violates" not in told, "the page's own policy refused nothing"
    assert {origin + path, origin + "/style.css"} <= asked
    assert all(url.startswith(origin + "/") for url in asked)
    assert (pixels == NOTICE).all(axis=1).sum() > 5000
    if path != "/worklist":
        assert (pixels == BAR).all(axis=1).sum() > 500
