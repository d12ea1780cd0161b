"""The site in a real browser: Debian's chromium, driven by playwright, checked by axe-core."""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from repro.report.site.build import build

ROOT = Path(__file__).parents[3]
AXE = "axe-core@4.14.1"
AXE_SHA512 = ("FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37Og"
              "udVGtQ==")
TOOLS = Path(os.environ.get("REPRO_TOOLS") or "~/.cache/repro/tools").expanduser()
PAGES = ["index.html", *(f"papers/{p.parent.name}.html"
                         for p in sorted(ROOT.glob("papers/*/paper.yaml")))]
WIDTHS, SCHEMES = (400, 1400), ("light", "dark")


def missing(what):
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def axe():
    """The source of axe-core, fetched once with npm and checked."""
    path = TOOLS / "axe-core-4.14.1" / "axe.min.js"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", AXE, "--pack-destination", str(path.parent)]
        if shutil.which("npm") is None or subprocess.run(command, capture_output=True).returncode:
            missing(f"axe-core is not here: install npm, or put {AXE} at {path}")
        archive = next(path.parent.glob("*.tgz"))
        digest = hashlib.sha512(archive.read_bytes()).digest()
        assert base64.b64encode(digest).decode() == AXE_SHA512
        with tarfile.open(archive) as members:
            path.write_bytes(members.extractfile("package/axe.min.js").read())
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright import sync_api
    except ImportError:
        missing("no playwright: pip install -r requirements.lock")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        missing("no browser: apt-get install --no-install-recommends chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium)
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    build(ROOT, out)
    return out


@pytest.fixture
def opened(browser, site):
    """opened(page, width, scheme, scripts) -> the page as a reader has it; .said: its console."""
    contexts = []

    def load(name, width=1400, scheme="light", scripts=True):
        context = browser.new_context(viewport={"width": width, "height": 900},
                                      color_scheme=scheme, java_script_enabled=scripts)
        contexts.append(context)
        page = context.new_page()
        page.said = []
        page.on("console", lambda message: page.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("requestfailed", lambda request: page.said.append(f"failed: {request.url}"))
        page.goto((site / name).as_uri())
        return page

    yield load
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_fits_and_is_accessible(opened, axe, name, width, scheme):
    page = opened(name, width, scheme)
    # Closed tables count, too.
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.said == []
    page.evaluate(axe)
    # Without preload: axe would ask for the style sheet, which pages opened from disk may not.
    options = "{resultTypes: ['violations'], preload: false}"
    found = page.evaluate(f"axe.run(document, {options})")["violations"]
    assert [(v["id"], v["impact"], [n["html"][:150] for n in v["nodes"][:3]]) for v in found] == []


def test_the_two_schemes_differ(opened):
    colour = "getComputedStyle(document.body).backgroundColor"
    assert len({opened("index.html", scheme=s).evaluate(colour) for s in SCHEMES}) == 2


def test_without_scripts_the_board_is_complete_and_has_no_dead_controls(opened):
    page = opened("index.html", scripts=False)
    assert page.locator(".board tbody tr:visible").count() >= 66
    assert page.locator(".filters").is_hidden()


def test_the_board_filters_and_sorts(opened):
    page = opened("index.html")
    rows = page.locator(".board tbody tr:visible")
    everything = rows.count()
    page.locator("[name=family]").select_option("lip reading")
    assert rows.count() == 4
    page.locator("[name=q]").fill("lipvoicer")
    assert rows.count() == 1 and "LipVoicer" in rows.first.inner_text()
    assert page.get_by_role("status").inner_text() == f"1 of {everything} papers"
    page.locator("[name=q]").fill("no such paper")
    assert rows.count() == 0
    page.locator("[name=q]").fill("")
    page.locator("[name=family]").select_option("")
    page.locator("[name=verdict]").select_option("planned")
    built = page.locator(".board tbody tr:not(.planned)").count()
    assert rows.count() == everything - built
    page.locator("[name=verdict]").select_option("")
    page.locator("[name=sort]").select_option("title")
    titles = rows.evaluate_all("rows => rows.map((row) => row.dataset.title)")
    assert titles == page.evaluate("t => [...t].sort((a, b) => a.localeCompare(b))", titles)
    page.locator("[name=sort]").select_option("deviations")
    counts = page.locator(".board tbody tr:not(.planned)").evaluate_all(
        "rows => rows.map((row) => Number(row.dataset.deviations))")
    assert counts == sorted(counts, reverse=True) and len(counts) == built
    assert page.said == []


def test_the_board_can_be_used_by_keyboard_alone(opened):
    page = opened("index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.name || document.activeElement.href || ''"))
    assert {"q", "family", "verdict", "sort"} <= seen
    assert any(".html" in name for name in seen)
