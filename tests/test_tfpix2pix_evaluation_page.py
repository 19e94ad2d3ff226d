"""The page and two plots of an evaluation: read as HTML, and used in a real browser."""

import base64
import hashlib
import io
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image

from pipelines.inspection.page import printable
from tests import browser as chromium
from tfpix2pix.evaluation import page, plots
from tfpix2pix.evaluation.page import Plot, write_page
from tfpix2pix.evaluation.result import Figure, Result, Score
from tfpix2pix.metrics.histograms import lab_histograms

L1 = Score("l1", "L1", "lower", note="Counted on [-1, 1].")
PSNR = Score("psnr", "PSNR", "higher", "dB")
EDGES = Score("edge_density", "Edge density", "lower")
HOSTILE = "<img src=x onerror=\"window.hacked = 1\"> & 'quotes'"
COMMAND = "python -m tfpix2pix.evaluate --model='runs/a <b>' --split=val"

NAMES = ["b10", "b9", HOSTILE, "b2", "a/deep_" + "long" * 20, "B1"]
VALUES = {
    "l1": [0.1, 0.4, 0.2, 0.4, 0.3, 0.0],
    "psnr": [20.5, 10.25, math.inf, 10.25, 15.0, math.inf],
    "edge_density": [0.5, 0.25, 0.125, 0.0, 1.0, 0.75],
}
WORST_L1 = ["b9", "b2", NAMES[4], HOSTILE, "b10", "B1"]


def evaluation(**changes):
    about = {
        "model": "runs/facades",
        "dataset": "facades",
        "image_size": [8, 12],
        "noise_seed": None,
        "command": COMMAND,
        "versions": {"tfpix2pix": "1.0", "keras": "3.10"},
    }
    content = {
        "about": about,
        "figures": [Figure(L1, 0.23456, 0.2, 0.25), Figure(PSNR, math.inf), Figure(EDGES, 0.5, 0.4, 0.6)],
        "scores": [PSNR, L1, EDGES],
        "names": NAMES,
        "values": {key: np.array(values) for key, values in VALUES.items()},
        "remarks": ["Few pictures.", "Run `python -m tfpix2pix.train --a<b`."],
    }
    return Result(**{**content, **changes})


def pictures(count=6, height=8, width=12):
    """Inputs and targets of two colours, outputs of noise."""
    rng = np.random.default_rng(0)
    inputs = np.where(rng.random((count, height, width, 1)) < 0.5, [[[[0, 0, 170]]]], [[[[255, 85, 0]]]])
    outputs = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return inputs.astype(np.uint8), outputs, 255 - inputs.astype(np.uint8)


def png(width=28, height=14, dpi=140):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG", dpi=(dpi, dpi))
    return buffer.getvalue()


class Page(HTMLParser):
    """What is in a page: `tags` with their attributes, and the text in each by number."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self._open = [], [], []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.texts.append("")
        if tag not in ("meta", "link", "img", "input"):
            self._open.append((tag, len(self.tags) - 1))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        for _, number in self._open:
            self.texts[number] += data

    def of(self, tag, **wanted):
        """Returns the texts of tags with these attributes (`class` as `kind`)."""
        wanted = {"class" if key == "kind" else key: value for key, value in wanted.items()}
        return [
            text
            for (found, attrs), text in zip(self.tags, self.texts, strict=True)
            if found == tag and all(attrs.get(key) == value for key, value in wanted.items())
        ]

    def attributes(self, tag):
        return [attrs for found, attrs in self.tags if found == tag]


@pytest.fixture
def written(tmp_path):
    """Writes a page of small pictures; returns its file."""

    def write(result=None, arrays=None, drawn=()):
        file = tmp_path / "index.html"
        write_page(result or evaluation(), *(arrays or pictures()), drawn, file)
        return file

    return write


def read(file):
    return Page(file.read_text(encoding="utf-8"))


def decoded(uri, kind):
    head, _, data = uri.partition(",")
    assert head == f"data:image/{kind};base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        return np.asarray(picture.convert("RGB"))


def test_the_head_says_what_was_evaluated(written):
    found = read(written())
    assert found.of("h1") == found.of("title") == ["Evaluation of runs/facades"]
    facts = dict(zip(found.of("dt"), found.of("dd"), strict=True))
    assert facts["Dataset"] == "facades"
    assert facts["Image size"] == "8x12 px"
    assert facts["Versions"] == "tfpix2pix 1.0, keras 3.10"
    assert "Noise seed" not in facts
    assert found.of("code", id="command") == [COMMAND]


def test_the_table_of_figures(written):
    found = read(written())
    assert found.of("th", scope="col") == ["", "Value", "95 % interval", "Better"]
    assert found.of("th", scope="row") == ["L1Counted on [-1, 1].", "PSNR (dB)", "Edge density"]
    assert found.of("td") == [
        *("0.2346", "0.2000 to 0.2500", "↓ lower"),
        *("∞", "–", "↑ higher"),
        *("0.5000", "0.4000 to 0.6000", "↓ lower"),
    ]


def test_real_pictures_have_a_column_where_there_is_a_figure_of_them(written):
    rows = [Figure(EDGES, 0.5, 0.4, 0.6, real=0.75), Figure(L1, 0.25)]
    found = read(written(evaluation(figures=rows)))
    assert found.of("th", scope="col") == ["", "Value", "95 % interval", "Real pictures", "Better"]
    assert found.of("td")[:4] == ["0.5000", "0.4000 to 0.6000", "0.7500", "↓ lower"]
    assert found.of("td")[4:] == ["0.2500", "–", "–", "↓ lower"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.23456, "0.2346"),
        (1.0, "1.000"),
        (14.512, "14.51"),
        (123.44, "123.4"),
        (12345.6, "12,346"),
        (-0.00123, "−0.001230"),
        (1e-9, "0.000000"),
        (0.0, "0.00"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert page._number(value, page._decimals(value)) == text


def test_remarks_and_their_commands(written):
    found = read(written())
    assert found.of("li")[:2] == ["Few pictures.", "Run python -m tfpix2pix.train --a<b."]
    assert "python -m tfpix2pix.train --a<b" in found.of("code")
    assert read(written(evaluation(remarks=[]))).of("ul") == []


def test_plots_are_as_large_as_they_were_drawn(written):
    found = read(written(drawn=[Plot("Colours <3", "What & where.", png())]))
    image = next(attrs for attrs in found.attributes("img") if attrs["alt"] == "Colours <3")
    assert decoded(image["src"], "png").shape == (14, 28, 3)
    assert (image["width"], image["height"]) == ("19", "10")  # 28 and 14 px at 140 an inch, of 96 CSS pixels
    assert found.of("figcaption")[0] == "Colours <3. What & where."
    assert found.of("h2") == ["Figures", "Plots", "Pictures", ""]
    assert read(written()).of("h2") == ["Figures", "Pictures", ""]


def test_all_pictures_are_there_the_worst_first(written):
    arrays = pictures()
    found = read(written(arrays=arrays))
    assert found.of("button", kind="open") == WORST_L1
    images = found.attributes("img")
    assert [image["alt"] for image in images] == [
        f"{name}, {side}" for name in WORST_L1 for side in ("input", "output", "target")
    ]
    for place, name in enumerate(WORST_L1):
        index = NAMES.index(name)
        shown = images[3 * place : 3 * place + 3]
        seen = [decoded(image["src"], "webp") for image in shown]
        # Few colours: bit for bit.
        np.testing.assert_array_equal(seen[0], arrays[0][index])
        np.testing.assert_array_equal(seen[2], arrays[2][index])
        assert all(image["width"] == "12" and image["height"] == "8" for image in shown)
        assert all(image["loading"] == "lazy" and image["decoding"] == "async" for image in shown)
    assert [attrs["value"] for attrs in found.attributes("option") if "selected" in attrs] == ["l1"]


def test_each_card_has_its_scores(written):
    found = read(written())
    cards = found.of("li", kind="card")
    place = WORST_L1.index(HOSTILE)
    assert cards[place].endswith("PSNR∞ dBL10.2000Edge density0.125")
    values = [float(attrs["value"]) for attrs in found.attributes("data")]
    for number, name in enumerate(WORST_L1):
        index = NAMES.index(name)
        assert values[3 * number : 3 * number + 3] == [VALUES[key][index] for key in ("psnr", "l1", "edge_density")]


def test_without_l1_the_first_score_orders(written):
    found = read(written(evaluation(scores=[PSNR, EDGES])))
    assert found.of("button", kind="open") == ["b9", "b2", NAMES[4], "b10", HOSTILE, "B1"]


def test_photos_are_lossy_and_drawings_are_not():
    x, y = np.meshgrid(np.arange(64), np.arange(64))
    rng = np.random.default_rng(0)
    photo = np.stack([x * 4, y * 4, (x + y) * 2], -1) + rng.integers(-9, 10, (64, 64, 3))
    photo = np.clip(photo, 0, 255).astype(np.uint8)
    data = page._webp(photo)
    lossless = io.BytesIO()
    Image.fromarray(photo).save(lossless, "WEBP", lossless=True)
    assert len(data) < len(lossless.getvalue()) / 2
    with Image.open(io.BytesIO(data)) as seen:
        assert np.abs(np.asarray(seen, float) - photo).mean() < 8
    # A grey photo has at most 256 colours, but is no drawing.
    grey = np.repeat(photo[..., :1], 3, axis=2)
    assert b"VP8 " in page._webp(grey)[:16]
    assert b"VP8L" in page._webp(np.where(photo[..., :1] > 99, 255, 0).repeat(3, axis=2).astype(np.uint8))[:16]


def test_the_page_needs_nothing_and_lets_nothing_in(written):
    found = read(written(drawn=[Plot("P", "c", png())]))
    for _, attrs in found.tags:
        assert all(attrs[name].startswith("data:") for name in ("src", "href") if name in attrs)
        assert not [name for name in attrs if name.startswith("on") or name == "style"]
    (policy,) = [attrs["content"] for attrs in found.attributes("meta") if "http-equiv" in attrs]
    for tag in ("style", "script"):
        (text,) = found.of(tag)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


PIECES = ["<b>", "</style>", "<!--", '"', "'", "&", "&lt;", "`", "$cards", "${x}", "\\", "\n", "\0", " "]
TEXT = st.lists(st.sampled_from(PIECES) | st.characters(), min_size=1, max_size=6).map("".join)


@example(texts=[HOSTILE] * 7)
@given(texts=st.lists(TEXT, min_size=7, max_size=7))
@settings(max_examples=60, deadline=None)
def test_every_text_is_shown_as_it_is(texts, tmp_path_factory):
    model, command, label, note, remark, name, caption = texts
    score = Score("l1", label, "lower", "u", note)
    result = Result(
        {"model": model, "command": command, "dataset": caption},
        [Figure(score, 1.0)],
        [score],
        [name],
        {"l1": np.array([1.0])},
        [remark],
    )
    file = tmp_path_factory.mktemp("fuzz") / "index.html"
    write_page(result, *pictures(1), [Plot(label, caption, png())], file)
    found = read(file)
    seen = [printable(text) for text in texts]
    assert found.of("h1") == [f"Evaluation of {seen[0]}"]
    assert found.of("code", id="command") == [seen[1]]
    assert found.of("th", scope="row") == [f"{seen[2]} (u){seen[3]}"]
    assert found.of("li")[0].replace("`", "") == seen[4].replace("`", "")
    assert found.of("button", kind="open") == [seen[5]]
    assert found.of("dd")[0] == seen[6]
    assert found.of("figcaption")[0] == f"{seen[2]}. {seen[6]}"
    assert [attrs["alt"] for attrs in found.attributes("img")][1] == f"{seen[5]}, input"
    assert found.attributes("option")[0]["data-note"] == seen[3]
    # Nothing of it became a tag.
    assert len(found.attributes("img")) == 4
    assert len(found.attributes("script")) == 1
    assert len(found.attributes("code")) <= 1 + remark.count("`") // 2


def test_pictures_that_do_not_fit_are_refused(tmp_path):
    inputs, outputs, targets = pictures()
    file = tmp_path / "index.html"
    with pytest.raises(ValueError, match="6 names, but 5 output"):
        write_page(evaluation(), inputs, outputs[:5], targets, [], file)
    with pytest.raises(ValueError, match="targets"):
        write_page(evaluation(), inputs, outputs, targets / 255, [], file)
    assert list(tmp_path.iterdir()) == []


# ---- In a browser


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
            choose(browser, "sort", score.key)
            choose(browser, "order", "worst" if worst else "best")
            assert names(browser) == expected(score.key, score.better, worst)
            chosen = "Array.from(document.querySelectorAll('.scores .chosen dt'), (term) => term.textContent)"
            assert browser.run(chosen) == [score.label] * len(NAMES)
    choose(browser, "sort", "name")
    assert names(browser) == [HOSTILE, NAMES[4], "B1", "b2", "b9", "b10"]
    assert browser.run("document.getElementById('order').disabled") is True


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
    assert browser.run(count) == "6 pictures"
    find(browser, " B ")
    assert names(browser) == ["b9", "b2", "b10", "B1"]
    assert browser.run(count) == "4 of 6 pictures"
    choose(browser, "sort", "name")
    assert names(browser) == ["B1", "b2", "b9", "b10"]
    assert browser.run("document.getElementById('nothing').hidden") is True
    find(browser, "nowhere")
    assert names(browser) == []
    assert browser.run(count) == "0 of 6 pictures"
    assert browser.run("document.getElementById('nothing').checkVisibility()") is True
    click(browser, "#clear")
    assert len(names(browser)) == len(NAMES)
    assert browser.run("document.activeElement.id") == "filter"


def test_a_click_shows_a_picture_large_and_arrows_go_on(browser, written):
    browser.open(written().as_uri())
    find(browser, "b")  # the dialog's neighbours are those that are shown
    click(browser, ".card:nth-child(2) figure:nth-child(2) img")
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
    browser.run("document.querySelector('.open').focus()")
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
    one = evaluation(names=["one"], values={key: np.array(values[:1]) for key, values in VALUES.items()})
    browser.open(written(one, pictures(1, 600, 900)).as_uri())
    browser.run("document.querySelector('.open').click()")
    assert browser.run(rendering) == "auto"
    # All of it is to be seen at once, however tall.
    browser.open(written(one, pictures(1, 900, 90)).as_uri())
    browser.run("document.querySelector('.open').click()")
    assert browser.run("document.getElementById('dialog').scrollHeight") <= 800


def test_a_narrow_screen(browser, written):
    browser.look(360, 740, mobile=True)
    browser.open(written(drawn=[Plot("P", "c", png(1400, 500))]).as_uri())
    assert browser.run("document.documentElement.scrollWidth") == 360
    boxes = "Array.from(document.querySelectorAll('.card:first-child img'), (picture) => picture.offsetTop)"
    assert len(set(browser.run(boxes))) == 1
    inside = "(name) => document.querySelector(name).getBoundingClientRect().right"
    assert browser.run(f"({inside})('.card figure:last-child img') < ({inside})('.card')") is True
    assert browser.run("document.querySelector('.card img').clientWidth") > 80
    go_to(browser, ".card .open")
    browser.tap(".card .open")
    browser.wait("document.getElementById('dialog').open")
    assert browser.run("document.getElementById('dialog').scrollWidth") == 360
    assert browser.run("document.querySelector('#large img').clientWidth") > 300


def test_without_scripts_everything_is_shown(browser, written):
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(written().as_uri())
    assert names(browser) == WORST_L1
    assert browser.run("document.getElementById('controls').checkVisibility()") is False
    assert browser.run("document.querySelector('noscript').textContent").startswith("In the order of L1, worst first.")
    assert browser.run("Array.from(document.querySelectorAll('.open')).every((button) => button.disabled)") is True
    browser.wait("Array.from(document.querySelectorAll('.card img')).every((picture) => picture.naturalWidth === 12)")


def test_hostile_names_do_not_run(browser, written):
    browser.open(written().as_uri())
    browser.run("document.querySelectorAll('.open')[3].click()")
    assert large(browser) == HOSTILE
    assert browser.run("document.querySelectorAll('img').length") == 3 * len(NAMES) + 3
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


# ---- Plots


def test_row_shares():
    shares = plots.row_shares([[3, 1, 0], [0, 0, 0], [0, 5, 5]])
    np.testing.assert_array_equal(shares, [[0.75, 0.25, 0], [np.nan] * 3, [0, 0.5, 0.5]])


def test_the_plot_of_colours_shows_the_shares():
    black_and_white = np.zeros((1, 2, 2, 3), np.uint8)
    black_and_white[0, 0] = 255
    generated, real = lab_histograms(black_and_white), lab_histograms(np.zeros((1, 4, 4, 3), np.uint8))
    figure = plots._colours(generated, real)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["L: intersection 0.50", "a: intersection 1.00", "b: intersection 1.00"]
    lightness, a, _ = figure.axes
    assert all(axes.get_yscale() == "log" for axes in figure.axes)
    lines = {line.get_color(): line for line in lightness.lines}
    x, y = lines[plots._GENERATED].get_data()
    assert {int(value): float(share) for value, share in zip(x, y, strict=True) if share} == {0: 0.5, 100: 0.5}
    x, y = lines[plots._REAL].get_data()
    assert {int(value): float(share) for value, share in zip(x, y, strict=True) if share} == {0: 1.0}
    assert a.get_xlim() == (-5, 5)  # what occurs, and a margin
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["real", "generated"]
    low, high = lightness.get_ylim()
    assert low <= 1e-4
    assert high > 1
    with Image.open(io.BytesIO(plots.colours(generated, real))) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1200
        assert round(picture.info["dpi"][0]) == 140


def words(axes):
    """What stands in the cells, by row and column."""
    return {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts}


def test_the_plot_of_confused_classes():
    table = {
        "title": "Cost in $",
        "classes": ["$wall$", "never there", "a name that is far too long"],
        "matrix": [[600, 200, 0, 0], [0, 0, 0, 0], [1, 0, 998, 201]],
    }
    axes = plots._confusion(table).axes[0]
    assert words(axes) == {(0, 0): "75", (0, 1): "25", (2, 0): "<1", (2, 2): "83", (2, 3): "17"}
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["$wall$ (40 %)", "never there (0 %)", "a name that is far too … (60 %)"]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert columns == ["$wall$", "never there", "a name that is far too …", "no class"]
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert [patch.get_y() + patch.get_height() / 2 for patch in hatched] == [1]
    assert "hatched: no pixels" in axes.get_xlabel()
    np.testing.assert_allclose(axes.images[0].get_array()[0], [75, 25, 0, 0])
    with Image.open(io.BytesIO(plots.confusion(table))) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("count", [2, 20, 21, 34])
def test_any_number_of_classes(count):
    matrix = np.eye(count, count + 1, dtype=int) * 7 + 1
    table = {"title": "Many", "classes": [f"class {number}" for number in range(count)], "matrix": matrix.tolist()}
    axes = plots._confusion(table).axes[0]
    assert len(words(axes)) == (count * (count + 1) if count <= 20 else 0)
    assert "hatched" not in axes.get_xlabel()
    with Image.open(io.BytesIO(plots.confusion(table))) as picture:
        assert max(picture.size) < 2200
        grey = np.asarray(picture.convert("L"))
    assert grey.min() < 60
    # Nothing is cut off: the margin is white.
    assert all(edge.min() == 255 for edge in (grey[0], grey[-1], grey[:, 0], grey[:, -1]))


def test_numbers_in_cells_can_be_read():
    matrix = [[share, 100 - share] + [0] * 19 for share in range(1, 100, 5)]
    axes = plots._confusion({"title": "", "classes": [str(n) for n in range(20)], "matrix": matrix}).axes[0]
    image = axes.images[0]

    def luminance(colour):
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour[:3]]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    assert len(axes.texts) == 40
    for text in axes.texts:
        column, row = (int(value) for value in text.get_position())
        behind = luminance(image.cmap(image.norm(100 * matrix[row][column] / sum(matrix[row]))))
        dark, light = sorted([behind, luminance(to_rgb(text.get_color()))])
        assert (light + 0.05) / (dark + 0.05) > 4


def test_the_two_colours_differ_in_lightness_too():
    grey = [np.dot(to_rgb(colour), [0.2126, 0.7152, 0.0722]) for colour in (plots._GENERATED, plots._REAL)]
    assert abs(grey[0] - grey[1]) > 0.2
    assert re.fullmatch("#[0-9a-f]{6}", plots._REAL)
