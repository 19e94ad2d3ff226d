"""The page of an evaluation, used in a real browser."""

import json

import numpy as np
import pytest

from tests import browser as chromium
from tests.evaluation import (
    COMMAND,
    EDGES,
    HOSTILE,
    L1,
    NAMES,
    PSNR,
    VALUES,
    WORST_L1,
    evaluation,
    images,
    page_writer,
    png,
)
from tfpix2pix.evaluation.page import Plot
from tfpix2pix.evaluation.report import Relation
from tfpix2pix.metrics.metric import MetricInfo, MetricRow

pytestmark = pytest.mark.browser


@pytest.fixture
def written(tmp_path):
    return page_writer(tmp_path)


@pytest.fixture
def browser(tmp_path):
    if chromium.find() is None:
        pytest.skip(f"no browser found ({', '.join(chromium.NAMES)}); Debian's package is chromium")
    with chromium.Browser(tmp_path / "profile") as opened:
        opened.look(1280, 800)
        yield opened
        methods = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        assert not [event for event in opened.events if event["method"] in methods]


def names(browser):
    return browser.run("Array.from(document.querySelectorAll('#cards .open'), (button) => button.textContent)")


def choose(browser, place, value):
    script = "(box => { box.value = %s; box.dispatchEvent(new Event('change')); return box.value; })(%s)"
    assert browser.run(script % (json.dumps(value), f"document.getElementById('{place}')")) == value


def find(browser, text):
    script = "(box => { box.value = %s; box.dispatchEvent(new Event('input')); })(document.getElementById('filter'))"
    browser.run(script % json.dumps(text))


def press(browser, key, code):
    for kind in ("rawKeyDown", "keyUp"):
        browser.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


def go_to(browser, selector):
    browser.run(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{ block: 'center' }})")
    # Cards that come into view get their height only now, and a click goes to what was drawn last.
    frame = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
    browser.run(f"{frame}.then(() => {frame}).then(() => 0)")


def click(browser, selector):
    go_to(browser, selector)
    box = f"document.querySelector({json.dumps(selector)})"
    middle = "(box => [box.x + box.width / 2, box.y + box.height / 2])"
    x, y = browser.run(f"{middle}({box}.getBoundingClientRect())")
    for kind in ("mousePressed", "mouseReleased"):
        browser.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def large(browser):
    return browser.run("document.getElementById('dialog').open && document.getElementById('large-name').textContent")


def expected(key, better, worst):
    """The names in the order that is wanted; where values are equal, in the page's first order."""
    falling = (better == "lower") == worst
    return sorted(WORST_L1, key=lambda name: VALUES[key][NAMES.index(name)] * (-1 if falling else 1))


def test_sorting_by_each_score_both_ways(browser, written):
    browser.open(written().as_uri())
    assert names(browser) == WORST_L1
    for score in (PSNR, L1, EDGES):
        for worst in (True, False):
            choose(browser, "sort", score.name)
            choose(browser, "order", "worst" if worst else "best")
            assert names(browser) == expected(score.name, score.better, worst)
            chosen = "Array.from(document.querySelectorAll('.values .chosen dt'), (term) => term.textContent)"
            assert browser.run(chosen) == [score.label] * len(NAMES)
    choose(browser, "sort", "name")
    assert names(browser) == [HOSTILE, NAMES[4], "B1", "b2", "b9", "b10"]
    assert browser.run("document.getElementById('order').disabled") is True


def test_a_metric_that_is_best_at_zero(browser, written):
    bias = MetricInfo("bias", "Mean error", "zero")
    values = {"bias": np.array([0.1, -0.6, 0.2, -0.3, 0.4, 0.0])}
    result = evaluation(rows=(MetricRow(bias, -0.2),), image_metrics=(bias,), values=values)
    browser.open(written(result).as_uri())
    worst_first = ["b9", NAMES[4], "b2", HOSTILE, "b10", "B1"]
    assert names(browser) == worst_first
    choose(browser, "order", "best")
    assert names(browser) == worst_first[::-1]


def test_the_order_says_which_end_it_begins_with(browser, written):
    browser.open(written().as_uri())
    texts = "Array.from(document.getElementById('order').options, (option) => option.textContent)"
    assert browser.run(texts) == ["worst first (highest)", "best first (lowest)"]
    assert browser.run("document.getElementById('note').textContent") == L1.note
    choose(browser, "sort", "psnr")
    assert browser.run(texts) == ["worst first (lowest)", "best first (highest)"]
    assert browser.run("document.getElementById('note').hidden") is True


def test_a_link_repeats_the_order(browser, written):
    url = written().as_uri()
    browser.open(url)
    assert browser.run("location.hash") == ""
    choose(browser, "sort", "psnr")
    choose(browser, "order", "best")
    assert browser.run("location.hash") == "#sort=psnr&order=best"
    browser.open("about:blank")
    browser.open(url + "#sort=psnr&order=best")
    assert names(browser) == expected("psnr", "higher", worst=False)
    assert browser.run("document.getElementById('order').value") == "best"
    for address, order in (
        ("#sort=edge_density", expected("edge_density", "lower", worst=True)),
        ("#sort=nonsense&order=best", expected("edge_density", "lower", worst=True)),
        ("#sort=name", [HOSTILE, NAMES[4], "B1", "b2", "b9", "b10"]),
    ):
        browser.run(f"new Promise((done) => {{ onhashchange = done; location.hash = '{address}'; }}).then(() => 0)")
        assert names(browser) == order


def test_the_filter(browser, written):
    browser.open(written().as_uri())
    count = "document.getElementById('count').textContent"
    assert browser.run(count) == "6 images"
    find(browser, " B ")
    assert names(browser) == ["b9", "b2", "b10", "B1"]
    assert browser.run(count) == "4 of 6 images"
    choose(browser, "sort", "name")
    assert names(browser) == ["B1", "b2", "b9", "b10"]
    assert browser.run("document.getElementById('nothing').hidden") is True
    find(browser, "nowhere")
    assert names(browser) == []
    assert browser.run(count) == "0 of 6 images"
    assert browser.run("document.getElementById('nothing').checkVisibility()") is True
    click(browser, "#clear")
    assert len(names(browser)) == len(NAMES)
    assert browser.run("document.activeElement.id") == "filter"


def test_a_click_shows_a_picture_large_and_arrows_go_on(browser, written):
    browser.open(written().as_uri())
    find(browser, "b")  # the dialog's neighbours are those that are shown
    click(browser, "#cards .card:nth-child(2) figure:nth-child(2) img")
    assert large(browser) == "b2"
    alts = "Array.from(document.querySelectorAll('#large img'), (picture) => picture.alt)"
    assert browser.run(alts) == ["b2, input", "b2, output", "b2, target"]
    widths = browser.run("Array.from(document.querySelectorAll('#large img'), (picture) => picture.clientWidth)")
    assert all(width > 380 for width in widths)
    seen = ["b2"]
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        browser.key(key)
        seen.append(large(browser))
    assert seen == ["b2", "b10", "B1", "B1", "b10"]
    assert browser.run("document.getElementById('place').textContent") == "3 of 4"
    assert browser.run(alts)[1] == "b10, output"
    press(browser, "Escape", 27)
    browser.wait("!document.getElementById('dialog').open")
    browser.wait("document.activeElement.textContent === 'b10'")


def test_all_of_it_works_by_the_keyboard(browser, written):
    browser.open(written().as_uri())
    browser.run("document.querySelector('#cards .open').focus()")
    browser.key("Enter")
    assert large(browser) == "b9"
    browser.key("Enter")  # the focus is on "next"
    assert large(browser) == "b2"
    assert browser.run("document.getElementById('previous').getAttribute('aria-disabled')") == "false"
    click(browser, "#previous")
    assert large(browser) == "b9"
    assert browser.run("document.getElementById('previous').getAttribute('aria-disabled')") == "true"
    browser.run("window.whenClosed = new Promise((done) => { dialog.onclose = done; }); 0")
    click(browser, "#close")
    browser.run("window.whenClosed.then(() => 0)")  # the focus comes back after that
    assert large(browser) is False
    press(browser, "Tab", 9)
    assert browser.run("document.activeElement.textContent") == "b2"


def test_only_enlarged_pictures_show_their_pixels(browser, written):
    rendering = "getComputedStyle(document.querySelector('#large img')).imageRendering"
    browser.open(written().as_uri())
    browser.run("document.querySelector('.open').click()")
    assert browser.run(rendering) == "pixelated"
    one = evaluation(names=("one",), values={key: np.array(values[:1]) for key, values in VALUES.items()})
    browser.open(written(one, images(1, 600, 900)).as_uri())
    browser.run("document.querySelector('.open').click()")
    assert browser.run(rendering) == "auto"
    # All of it is to be seen at once, however tall.
    browser.open(written(one, images(1, 900, 90)).as_uri())
    browser.run("document.querySelector('.open').click()")
    assert browser.run("document.getElementById('dialog').scrollHeight") <= 800


def test_a_narrow_screen(browser, written):
    browser.look(360, 740, mobile=True)
    browser.open(written(drawn=[Plot("P", "c", png(1400, 500))]).as_uri())
    assert browser.run("document.documentElement.scrollWidth") == 360
    boxes = "Array.from(document.querySelectorAll('#cards .card:first-child img'), (picture) => picture.offsetTop)"
    assert len(set(browser.run(boxes))) == 1
    inside = "(name) => document.querySelector(name).getBoundingClientRect().right"
    assert browser.run(f"({inside})('#cards figure:last-child img') < ({inside})('#cards .card')") is True
    assert browser.run("document.querySelector('#cards img').clientWidth") > 80
    go_to(browser, "#cards .open")
    browser.tap("#cards .open")
    browser.wait("document.getElementById('dialog').open")
    assert browser.run("document.getElementById('dialog').scrollWidth") == 360
    assert browser.run("document.querySelector('#large img').clientWidth") > 300


MANY = evaluation(
    names=tuple(f"image {number}" for number in range(30)),
    values={key: np.arange(30) / 40 for key in VALUES},
    relations=(Relation("novelty", "Distance to training inputs", -0.51, -0.75, 0.25, 0.4, 0.2),),
)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen_and_images_come_first(browser, written, width):
    browser.look(width, 844, mobile=width == 390)
    browser.open(written(MANY, images(30, 64, 64), [Plot("P", "c", png(1400, 500))]).as_uri())
    assert browser.run("document.documentElement.scrollWidth <= innerWidth") is True
    wider = "Array.from(document.querySelectorAll('.wide'), (box) => box.scrollWidth - box.clientWidth)"
    assert browser.run(wider) == [0, 0]
    top, right = (f"(id) => document.getElementById(id).getBoundingClientRect().{side}" for side in ("top", "right"))
    assert browser.run(f"({top})('examples')") < 300
    assert browser.run(f"({right})('plots') <= innerWidth") is True
    below = browser.run(f"({top})('metrics') > ({top})('images')")
    assert below is (width == 390)  # beside the examples, or below all images


def test_few_images_at_first_and_all_on_demand(browser, written):
    url = written(MANY, images(30)).as_uri()
    browser.open(url)
    assert len(names(browser)) == 12
    assert "30" in browser.run("document.getElementById('all').textContent")
    find(browser, "image 2")
    assert len(names(browser)) == 11
    assert browser.run("document.getElementById('more').hidden") is True
    find(browser, "")
    click(browser, "#all")
    assert len(names(browser)) == 30
    assert browser.run("document.activeElement.textContent") == "image 17"  # the first that was not there
    assert browser.run("document.getElementById('more').hidden") is True


def test_the_rows_of_examples_open_their_images(browser, written):
    browser.open(written(MANY, images(30)).as_uri())
    find(browser, "image 1")
    click(browser, "#examples li:first-child img")
    assert large(browser) == "image 0"  # though it was filtered out
    assert browser.run("document.getElementById('place').textContent") == "30 of 30"
    press(browser, "Escape", 27)
    browser.wait("!document.getElementById('dialog').open")
    browser.wait("document.activeElement.dataset.card === '29'")
    browser.key("Enter")
    browser.key("ArrowLeft")
    assert large(browser) == "image 1"
    press(browser, "Escape", 27)
    browser.wait("document.activeElement.closest('#cards') && document.activeElement.textContent === 'image 1'")


def test_links_to_sections_leave_the_order(browser, written):
    browser.open(written().as_uri())
    choose(browser, "sort", "psnr")
    before = names(browser)
    click(browser, "nav a[href='#details']")
    browser.wait("location.hash === '#details'")
    assert names(browser) == before


def test_without_scripts_everything_is_shown(browser, written):
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(written().as_uri())
    assert names(browser) == WORST_L1
    assert browser.run("document.getElementById('controls').checkVisibility()") is False
    assert "L1" in browser.run("document.querySelector('noscript').textContent")
    assert browser.run("Array.from(document.querySelectorAll('.open')).every((button) => button.disabled)") is True
    browser.wait("Array.from(document.querySelectorAll('.card img')).every((picture) => picture.naturalWidth === 12)")


def test_hostile_names_do_not_run(browser, written):
    browser.open(written().as_uri())
    browser.run("document.querySelectorAll('#cards .open')[3].click()")
    assert large(browser) == HOSTILE
    assert browser.run("document.querySelectorAll('img').length") == 9 + 3 * len(NAMES) + 3
    assert browser.run("typeof window.hacked") == "undefined"


def test_the_command_is_copied_or_at_least_selected(browser, written):
    browser.open(written().as_uri())
    clipboard = "Object.defineProperty(navigator, 'clipboard', { configurable: true, value: { writeText: %s } })"
    browser.run(f"{clipboard % 'async (text) => { window.taken = text; }'}; 0")
    click(browser, "#copy")
    browser.wait("document.getElementById('copied').textContent === 'Copied.'")
    assert browser.run("window.taken") == COMMAND
    browser.run(f"{clipboard % '() => Promise.reject(new Error())'}; 0")
    click(browser, "#copy")
    browser.wait("document.getElementById('copied').textContent.startsWith('It is selected')")
    assert browser.run("getSelection().toString()") == COMMAND
