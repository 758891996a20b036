"""A headless Chromium for tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A driver that keeps what the page logs and fetches; skips where there is no browser."""
    program, service = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not service:
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs: pip install selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for name in ["gpu", "quic", "background-networking", "component-update", "sync"]:
        options.add_argument(f"--disable-{name}")
    for name in ("headless", "no-sandbox", "no-first-run", f"user-data-dir={profile}"):
        options.add_argument(f"--{name}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(service))
    try:
        yield driver
    finally:
        driver.quit()


def emulate(driver: Any, *, width: int = 1200, scheme: str = "light") -> None:
    """A screen of that width, and a reader who likes light or dark."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
