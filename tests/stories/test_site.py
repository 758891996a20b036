"""The site in a real browser: links, search, console, narrow and dark, and accessibility."""

import functools
import json
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest

from tests.support.browser import chromium, emulate
from tests.support.docs_blocks import ROOT

pytestmark = pytest.mark.browser

PAGES = (
    *("", "how-to/install/", "how-to/serve/", "how-to/own-questions/", "tutorial/demo/"),
    *("reference/cli/", "reference/pipeline/", "explanation/training/"),
)
"""Those that are opened: the front page, and one of each kind."""
SOUGHT = {
    "deploy": "serve",
    "async": "async",
    "notebook": "notebooks",
    "install": "install",
    "ollama": "serve",
}
"""What is typed into the search, and a page that must be among the results."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="pip install 'decompose-distill[docs]'")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


class _Links(HTMLParser):
    """What a page links to, and the places in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note addresses and ids."""
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.targets.add(value)
            if name in ("id", "name") and value:
                self.anchors.add(value)


def test_no_link_within_the_site_is_dead(site: Path) -> None:
    pages = {
        page: _Links(page.read_text(encoding="utf-8"))
        for page in site.rglob("*.html")
        if page.name != "404.html"
    }
    dead = []
    for page, links in pages.items():
        for target in links.targets:
            path, anchor = urldefrag(unquote(target))
            if re.match(r"[a-z]+:|//", path):
                continue
            file = (page.parent / path).resolve() if path else page
            file = file / "index.html" if file.is_dir() else file
            known = pages[file].anchors if file in pages else {anchor}
            if not file.is_file() or (anchor and anchor not in known):
                dead.append(f"{page.relative_to(site)}: {target}")

    assert not dead


def test_nothing_is_fetched_from_elsewhere_and_nothing_is_complained_of(
    driver: Any, address: str
) -> None:
    for page in PAGES:
        driver.get("about:blank")
        for kept in ("performance", "browser"):
            driver.get_log(kept)  # of what was shown before
        driver.get(address + page)
        messages = [json.loads(row["message"])["message"] for row in driver.get_log("performance")]
        asked = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

        assert all(url.startswith((address, "data:", "blob:")) for url in asked), page
        assert driver.get_log("browser") == [], page


@pytest.mark.parametrize(("words", "page"), SOUGHT.items())
def test_the_search_finds_what_users_look_for(
    driver: Any, address: str, words: str, page: str
) -> None:
    emulate(driver)
    driver.get(f"{address}?q={words}")
    driver.execute_script("document.querySelector('[data-md-toggle=search]').click()")
    code = "return [...document.querySelectorAll('.md-search-result__link')].map(a => a.pathname)"
    results: list[str] = []
    for _ in range(100):
        results = driver.execute_script(code)
        if any(f"/{page}/" in path for path in results):
            break
        driver.execute_async_script("setTimeout(arguments[0], 100)")

    assert any(f"/{page}/" in path for path in results), results


def _show(driver: Any, url: str, *, scheme: str, width: int = 1200) -> None:
    """Open a page in light or dark, which the theme remembers from the first page on."""
    emulate(driver, width=width, scheme=scheme)
    driver.get(url)
    driver.execute_script("localStorage.clear()")
    driver.get(url)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_a_page_without_scrolling_sideways(
    driver: Any, address: str, page: str, scheme: str
) -> None:
    _show(driver, address + page, width=390, scheme=scheme)
    wide = driver.execute_script("return document.documentElement.scrollWidth")

    assert wide <= 390


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm fetches axe-core: apt install npm")
    folder = tmp_path_factory.mktemp("axe")
    pack = [npm, "pack", "--silent", "axe-core@4"]
    done = subprocess.run(pack, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"axe-core cannot be fetched: {done.stderr.strip()[-200:]}")
    [archive] = folder.glob("*.tgz")
    with tarfile.open(archive) as packed:
        file = packed.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(
    driver: Any, address: str, axe: str, page: str, scheme: str
) -> None:
    _show(driver, address + page, scheme=scheme)
    driver.execute_script(axe)
    driver.set_script_timeout(120)
    found = driver.execute_async_script(
        "const done = arguments[0];"
        "axe.run(document, {resultTypes: ['violations']}).then(found => done(found.violations))"
    )
    serious = [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]

    assert not serious
