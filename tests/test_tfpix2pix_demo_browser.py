"""The page to draw on, used in a real browser, and its network compared with Keras."""

import base64
import io
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import encode
from pipelines.spec import RGB, Encoding
from tests import browser as chromium
from tests.small import trained_generator
from tfpix2pix import exporting
from tfpix2pix.errors import ConfigError
from tfpix2pix.web import build as web
from tfpix2pix.web import runtime
from tfpix2pix.web.server import make_server

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (extra `lite`)")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        chromium.find() is None, reason=f"no browser found ({', '.join(chromium.NAMES)}); Debian's package is chromium"
    ),
]

PALETTE = ((0, 0, 170), (0, 0, 255), (255, 0, 0), (170, 255, 85))
LABELS = Encoding(kind="labels", palette=PALETTE, classes=("background", "wall", "door", "roof"))
PAPER = 512  # pixels of the paper's side


@pytest.fixture(scope="module")
def litert():
    """LiteRT.js: what the user's own cache has of it, or else what npm fetches."""
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "tfpix2pix"
    name = f"litertjs-{runtime.PACKAGES[0].version}"
    users = Path.home() / ".cache" / "pix2pix" / name
    if users.is_dir() and not (cache / name).exists():
        shutil.copytree(users, cache / name)
    try:
        return runtime.folder()
    except ConfigError as error:
        pytest.skip(f"LiteRT.js is neither in the cache nor to be had: {error}")


def export(folder, generator, given):
    """Writes an export with the generator's float16 file in it."""
    exporting.export(generator, folder, formats=["tflite_float16"], encodings=(given, RGB))
    return folder


class Page:
    """A page that is served, and the Keras model whose page it is."""

    def __init__(self, folder, generator, given, size):
        web.build(export(folder / "little", generator, given), folder / "web")
        self.generator, self.given, self.size = generator, given, size
        self.server = make_server(folder / "web")
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def expected(self, drawing):
        """Returns what Keras makes of a drawing on the paper."""
        scale = len(drawing) // self.size
        if self.given.kind == "labels":
            small = drawing[::scale, ::scale]
            seen = encode.to_network(encode.classes(tf.constant(small), self.given), self.given)
        else:
            blocks = drawing.reshape(self.size, scale, self.size, scale, 3).astype(np.int64).sum(axis=(1, 3))
            small = ((2 * blocks + scale**2) // (2 * scale**2)).astype(np.uint8)  # halves go up
            seen = encode.to_network(tf.constant(small), self.given)
        return encode.to_image(self.generator(seen[tf.newaxis], training=False)[0], RGB).numpy()


@pytest.fixture(scope="module")
def lines(tmp_path_factory, litert):
    """Line drawing to picture at 256 px."""
    page = Page(tmp_path_factory.mktemp("lines"), trained_generator(size=256), RGB, 256)
    yield page
    page.close()


@pytest.fixture(scope="module")
def labels(tmp_path_factory, litert):
    """Label map to picture at 64 px."""
    generator = trained_generator(size=64, channels=(len(PALETTE), 3))
    page = Page(tmp_path_factory.mktemp("labels"), generator, LABELS, 64)
    yield page
    page.close()


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    with chromium.Browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.send("Network.enable")
        # A worker is a target of its own.
        opened.send("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
        yield opened


@pytest.fixture
def browser(chrome):
    chrome.look(1280, 800)
    yield chrome
    said = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    wrong = [event for event in chrome.events if event["method"] in said]
    chrome.open("about:blank")
    assert not wrong


def begin(browser, page):
    browser.open(page.address)
    ready(browser)


def ready(browser):
    """Waits until the picture belongs to the drawing."""
    browser.wait("document.body.dataset.state === 'ready' || document.body.dataset.state === 'failed'", 60)
    assert browser.run("document.body.dataset.state") == "ready", browser.run("document.body.innerText")


def canvas(browser, name):
    data = browser.run(f"document.getElementById('{name}').toDataURL('image/png')").partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.convert("RGBA").getextrema()[3] == (255, 255)
        return np.asarray(picture.convert("RGB"))


def assert_as_keras(browser, page):
    ready(browser)
    drawing, picture = canvas(browser, "drawing"), canvas(browser, "result")
    expected = page.expected(drawing)
    assert expected.std() > 10  # a flat picture would prove nothing
    difference = np.abs(picture.astype(int) - expected)
    print(f"mean |difference| to Keras {difference.mean():.4f}, largest {difference.max()}, of 255")
    assert difference.mean() <= 1
    return drawing


def on_screen(browser, x, y):
    """Returns where a point of the paper, in shares of its side, is on the screen."""
    box = browser.run("(b => [b.left, b.top, b.width, b.height])(drawing.getBoundingClientRect())")
    return box[0] + x * box[2], box[1] + y * box[3]


def drag(browser, points, kind="mouse"):
    """Draws a line through points, in shares of the paper's side."""
    for number, point in enumerate(points):
        x, y = on_screen(browser, *point)
        if kind == "touch":
            name = "touchMove" if number else "touchStart"
            browser.send("Input.dispatchTouchEvent", type=name, touchPoints=[{"x": x, "y": y}])
        else:
            name = "mouseMoved" if number else "mousePressed"
            button = {"button": "left", "buttons": 1, "clickCount": 1, "pointerType": kind}
            browser.send("Input.dispatchMouseEvent", type=name, x=x, y=y, **button)
    if kind == "touch":
        browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    else:
        button = {"button": "left", "clickCount": 1, "pointerType": kind}
        browser.send("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, **button)


def press(browser, key, modifiers=0):
    """Presses a key; modifiers are 2 for Ctrl, 8 for Shift."""
    code = {"Delete": 46}.get(key) or ord(key.upper())
    for kind in ("rawKeyDown", "keyUp"):
        browser.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, modifiers=modifiers)


def click(browser, selector):
    browser.run(f"document.querySelector({json.dumps(selector)}).click()")


def dark(drawing):
    return int((drawing.max(axis=-1) < 128).sum())


def test_the_first_sight_is_an_example_and_its_picture(browser, lines):
    begin(browser, lines)
    drawing = assert_as_keras(browser, lines)
    assert drawing.shape == (PAPER, PAPER, 3)
    assert 0.02 < dark(drawing) / PAPER**2 < 0.2  # lines on white
    assert " ms " in browser.run("document.getElementById('time').textContent")
    assert browser.run("document.getElementById('state').hidden") is True
    assert browser.run("document.activeElement === document.body") is True


def test_no_request_goes_elsewhere(browser, lines):
    begin(browser, lines)
    asked = [event["params"]["request"]["url"] for event in browser.events if "request" in event.get("params", {})]
    asked += browser.run("performance.getEntriesByType('resource').map((entry) => entry.name)")
    (worker,) = (event["params"] for event in browser.events if event["method"] == "Target.attachedToTarget")
    pages, browser._session = browser._session, worker["sessionId"]
    asked += browser.run("performance.getEntriesByType('resource').map((entry) => entry.name)")
    browser._session = pages
    names = {url.removeprefix(lines.address) for url in asked}
    assert not [name for name in names if ":" in name]
    assert {"page.js", "worker.js", "model.tflite", "litert/index.js", "litert/wasm-utils.js"} <= names
    assert len([name for name in names if name.endswith(".wasm")]) == 1


@pytest.mark.parametrize("kind", ["mouse", "pen", "touch"])
def test_a_line_and_the_way_back(browser, lines, kind):
    browser.look(1280, 800, mobile=kind == "touch")
    begin(browser, lines)
    before = canvas(browser, "drawing")
    press(browser, "Delete")
    drag(browser, [(0.2, 0.3), (0.3, 0.5), (0.5, 0.55), (0.8, 0.4)], kind)
    drawn = assert_as_keras(browser, lines)
    assert drawn[int(0.3 * PAPER), int(0.2 * PAPER)].max() == 0
    assert drawn[int(0.4 * PAPER), int(0.8 * PAPER) - 1].max() == 0
    # 0.73 of the side long (a bit less: it is smoothed), 14 of 512 pixels wide, ends half round.
    assert dark(drawn) == pytest.approx(0.71 * PAPER * 14 + 3.14 * 7**2, rel=0.06)
    press(browser, "z", 2)
    assert dark(canvas(browser, "drawing")) == 0
    press(browser, "z", 2)
    assert np.array_equal(canvas(browser, "drawing"), before)
    assert browser.run("document.getElementById('undo').getAttribute('aria-disabled')") == "true"
    press(browser, "Z", 2 + 8)
    press(browser, "y", 2)
    assert np.array_equal(canvas(browser, "drawing"), drawn)
    click(browser, "#undo")
    assert dark(canvas(browser, "drawing")) == 0


def test_a_finer_screen_has_finer_paper(browser, lines):
    size = {"width": 1280, "height": 800, "deviceScaleFactor": 2, "mobile": False}
    browser.send("Emulation.setDeviceMetricsOverride", **size)
    begin(browser, lines)
    press(browser, "Delete")
    drag(browser, [(0.1, 0.5), (0.9, 0.5)])
    drawing = assert_as_keras(browser, lines)
    assert drawing.shape == (2 * PAPER, 2 * PAPER, 3)
    assert (drawing[:, PAPER].max(axis=-1) < 128).sum() == pytest.approx(2 * 14, abs=1)  # as thick as on others


def test_many_moves_give_the_picture_of_the_last(browser, lines):
    begin(browser, lines)
    drag(browser, [(0.1 + 0.8 * n / 60, 0.5 + 0.3 * np.sin(n / 3)) for n in range(60)])
    assert_as_keras(browser, lines)


def test_eraser_size_and_keys(browser, lines):
    begin(browser, lines)
    press(browser, "Delete")
    press(browser, "p")
    press(browser, "]")
    press(browser, "]")
    drag(browser, [(0.1, 0.5), (0.9, 0.5)])
    thick = canvas(browser, "drawing")
    assert (thick[:, PAPER // 2].max(axis=-1) < 128).sum() == pytest.approx(14 + 8, abs=1)
    press(browser, "e")
    assert browser.run("document.querySelector('[aria-pressed=true][data-tool]').dataset.tool") == "eraser"
    drag(browser, [(0.5, 0.1), (0.5, 0.9)])
    erased = assert_as_keras(browser, lines)
    assert erased[PAPER // 2, PAPER // 2].min() == 255
    assert erased[PAPER // 2, PAPER // 4].max() == 0
    press(browser, "[")
    assert browser.run("Number(size.value)") == 43 - 4
    press(browser, "p")
    assert browser.run("Number(size.value)") == 14 + 8  # each tool keeps its own


def test_fill_leaves_no_seam_and_no_gap(browser, lines):
    begin(browser, lines)
    press(browser, "Delete")
    ring = [(0.5 + 0.3 * np.cos(a), 0.5 + 0.3 * np.sin(a)) for a in np.linspace(0, 6.4, 40)]
    drag(browser, ring)
    line = canvas(browser, "drawing")
    press(browser, "f")
    assert browser.run("size.disabled") is True
    drag(browser, [(0.5, 0.5)])
    filled = assert_as_keras(browser, lines)
    y, x = np.mgrid[:PAPER, :PAPER] / PAPER
    distance = np.hypot(x - 0.5, y - 0.5)
    assert filled[distance < 0.29].max() <= 2  # all black, the line's soft inner edge too
    assert np.array_equal(filled[distance > 0.31], line[distance > 0.31])  # its outer edge is as it was
    browser.run("colour.value = '#ff8000'; colour.dispatchEvent(new Event('input'))")
    drag(browser, [(0.02, 0.02)])
    assert canvas(browser, "drawing")[5, 5].tolist() == [255, 128, 0]


def test_fill_leaves_no_seam_along_a_pale_line(browser, lines):
    """A line is a mix with the paper at its edge, however close its colour is to the paper's."""
    begin(browser, lines)
    press(browser, "Delete")
    browser.run("colour.value = '#ffdea7'; colour.dispatchEvent(new Event('input'))")
    drag(browser, [(0.5 + 0.3 * np.cos(a), 0.5 + 0.3 * np.sin(a)) for a in np.linspace(0, 6.4, 40)])
    press(browser, "f")
    drag(browser, [(0.5, 0.5)])
    filled = canvas(browser, "drawing").astype(int)
    y, x = np.mgrid[:PAPER, :PAPER] / PAPER
    inside = filled[np.hypot(x - 0.5, y - 0.5) < 0.3]
    assert abs(inside - (255, 222, 167)).max() <= 3


def test_examples(browser, lines):
    begin(browser, lines)
    seen = []
    count = browser.run("document.querySelectorAll('#strip button').length")
    assert count >= 5
    for number in range(1, count + 1):
        click(browser, f"#strip button:nth-child({number})")
        drawing = canvas(browser, "drawing")
        assert 0.02 < dark(drawing) / PAPER**2 < 0.2
        assert (drawing[[0, -1]] == 255).all()
        assert (drawing[:, [0, -1]] == 255).all()
        assert not any(np.array_equal(drawing, other) for other in seen)
        seen.append(drawing)
    assert_as_keras(browser, lines)
    for drawing in seen[-2::-1]:
        press(browser, "z", 2)
        assert np.array_equal(canvas(browser, "drawing"), drawing)


def saved(browser, key, folder, pattern):
    """Presses a key that saves an image, and returns the one that then lies in a folder."""
    browser.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    press(browser, key)
    browser.wait_event("Page.downloadProgress")
    browser.wait("note.textContent === 'Saved as PNG'")
    browser.run("new Promise((resolve) => setTimeout(resolve, 500))")
    (file,) = folder.glob(pattern)
    with Image.open(file) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_save_gives_a_png_of_the_picture(browser, lines, tmp_path):
    begin(browser, lines)
    picture = canvas(browser, "result")
    assert np.array_equal(saved(browser, "s", tmp_path, "little-*.png"), picture)


def test_both_are_saved_side_by_side(browser, lines, tmp_path):
    begin(browser, lines)
    drawing, answer = canvas(browser, "drawing"), canvas(browser, "result")
    both = saved(browser, "b", tmp_path, "little-both-*.png")
    side, gap = len(drawing), len(drawing) // 32
    assert both.shape == (side + 2 * gap, 2 * side + 3 * gap, 3)
    assert np.array_equal(both[gap:-gap, gap : gap + side], drawing)
    enlarged = Image.fromarray(answer).resize((side, side), Image.Resampling.BILINEAR)
    assert np.abs(both[gap:-gap, -gap - side : -gap].astype(int) - np.asarray(enlarged)).mean() < 3
    assert (both[:, [*range(gap), *range(gap + side, 2 * gap + side)]] == 255).all()


def test_several_models_each_with_its_own_examples_and_colours(browser, tmp_path, litert, rng):
    folders = []
    for name, colours in (("first", [[255, 255, 255], [250, 20, 20]]), ("second", [])):
        folders.append(export(tmp_path / name, trained_generator(size=64), RGB))
        settings = json.loads((folders[-1] / "config.json").read_text())
        settings |= {"examples": ["examples/1.png", "examples/2.png"] if colours else [], "colours": colours}
        (folders[-1] / "config.json").write_text(json.dumps(settings))
    (folders[0] / "examples").mkdir()
    own = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    for number, image in enumerate(own, 1):
        Image.fromarray(image).save(folders[0] / "examples" / f"{number}.png")
    web.build(folders, tmp_path / "web")
    with make_server(tmp_path / "web") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        browser.open(f"http://127.0.0.1:{server.server_address[1]}/")
        ready(browser)
        assert browser.run("Array.from(models.children, (link) => link.textContent)") == ["first", "second"]
        assert browser.run("document.querySelector('#models [aria-current]').textContent") == "first"
        scale = len(canvas(browser, "drawing")) // 64
        assert np.array_equal(canvas(browser, "drawing")[::scale, ::scale], own[0])
        click(browser, "#strip button:nth-child(2)")
        browser.wait("undo.getAttribute('aria-disabled') === 'false'")
        assert np.array_equal(canvas(browser, "drawing")[::scale, ::scale], own[1])
        assert browser.run("Array.from(swatches.children, (swatch) => swatch.value)") == ["#ffffff", "#fa1414"]
        assert browser.run("colour.value") == "#fa1414"  # the first that is no grey
        click(browser, "#models a:nth-child(2)")
        browser.wait("document.title === 'Draw: second'")
        ready(browser)
        assert browser.run("swatches.hidden") is True
        assert browser.run("document.querySelectorAll('#strip svg').length") >= 5
        server.shutdown()
        thread.join()


def give(browser, path, how):
    """Gives the page a file by its file chooser, or as one that is dropped or pasted."""
    if how == "chosen":
        root = browser.send("DOM.getDocument")["root"]["nodeId"]
        node = browser.send("DOM.querySelector", nodeId=root, selector="#chooser")["nodeId"]
        browser.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])
        return
    data = base64.b64encode(path.read_bytes()).decode()
    event = "new DragEvent('drop', {dataTransfer: given, bubbles: true, cancelable: true})"
    if how == "pasted":
        event = "new ClipboardEvent('paste', {clipboardData: given, bubbles: true})"
    browser.run(
        f"(() => {{ const bytes = Uint8Array.from(atob('{data}'), (letter) => letter.charCodeAt(0));"
        f"const given = new DataTransfer(); given.items.add(new File([bytes], {json.dumps(path.name)}));"
        f"document.body.dispatchEvent({event}); }})()"
    )


@pytest.mark.parametrize("how", ["chosen", "dropped", "pasted"])
def test_a_picture_is_fitted_in(browser, lines, tmp_path, how):
    Image.new("RGB", (300, 100), (10, 200, 30)).save(tmp_path / "wide.png")
    begin(browser, lines)
    give(browser, tmp_path / "wide.png", how)
    browser.wait("note.textContent === 'Opened wide.png'")
    drawing = assert_as_keras(browser, lines)
    assert drawing[PAPER // 2, 5].tolist() == [10, 200, 30]
    assert drawing[PAPER // 2 + 80, PAPER // 2].tolist() == [10, 200, 30]
    assert drawing[PAPER // 2 + 90, PAPER // 2].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["lines", "labels"])
def test_an_image_of_the_networks_size_goes_in_as_it_is(browser, request, tmp_path, rng, kind):
    page = request.getfixturevalue(kind)
    image = rng.integers(0, 256, (page.size, page.size, 3), dtype=np.uint8)
    if kind == "labels":
        image = np.array(PALETTE, np.uint8)[rng.integers(0, 4, (page.size, page.size))]
    Image.fromarray(image).save(tmp_path / "own.png")
    begin(browser, page)
    give(browser, tmp_path / "own.png", "dropped")
    browser.wait("note.textContent === 'Opened own.png'")
    drawing = assert_as_keras(browser, page)
    scale = len(drawing) // page.size
    np.testing.assert_array_equal(drawing, image.repeat(scale, 0).repeat(scale, 1))


def test_label_maps_of_another_size_take_the_nearest_pixel(browser, labels, tmp_path, rng):
    classes = rng.integers(0, 4, (2 * labels.size, 2 * labels.size)).repeat(3, 0).repeat(3, 1)
    Image.fromarray(np.array(PALETTE, np.uint8)[classes]).save(tmp_path / "map.png")
    begin(browser, labels)
    give(browser, tmp_path / "map.png", "dropped")
    browser.wait("note.textContent === 'Opened map.png'")
    drawing = assert_as_keras(browser, labels)
    scale, step = len(drawing) // labels.size, len(classes) // labels.size
    seen = drawing[::scale, ::scale]
    near = [np.array(PALETTE)[classes[y::step, x::step]] for y in (2, 3) for x in (2, 3)]
    assert max((seen == one).all(-1).mean() for one in near) == 1.0


def test_a_file_that_is_no_picture_is_said(browser, lines, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    begin(browser, lines)
    before = canvas(browser, "drawing")
    give(browser, tmp_path / "notes.txt", "dropped")
    browser.wait("note.textContent.startsWith('notes.txt is no image')")
    assert np.array_equal(canvas(browser, "drawing"), before)


def test_label_maps_are_drawn_in_the_classes_colours_alone(browser, labels):
    begin(browser, labels)
    names = browser.run("Array.from(swatches.children, (swatch) => swatch.textContent)")
    assert names == list(LABELS.classes)
    assert browser.run("getComputedStyle(document.querySelector('.colour')).display") == "none"
    assert_as_keras(browser, labels)
    click(browser, "#swatches button:nth-child(4)")
    drag(browser, [(0.1, 0.2), (0.5, 0.7), (0.9, 0.3)])
    press(browser, "f")
    click(browser, "#swatches button:nth-child(3)")
    drag(browser, [(0.01, 0.01)])
    drawing = assert_as_keras(browser, labels)
    found = {tuple(colour) for colour in np.unique(drawing.reshape(-1, 3), axis=0).tolist()}
    assert found <= set(PALETTE)
    assert drawing[int(0.2 * PAPER), int(0.1 * PAPER)].tolist() == list(PALETTE[3])
    assert drawing[4, 4].tolist() == list(PALETTE[2])


@pytest.mark.parametrize(("width", "height"), [(360, 740), (390, 844), (740, 360)])
def test_a_phone_in_the_dark(browser, lines, labels, width, height):
    browser.look(width, height, dark=True, mobile=True)
    for page in (labels, lines):
        begin(browser, page)
        assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
        assert browser.run("document.documentElement.scrollWidth") == width
        small = browser.run(
            "Array.from(document.querySelectorAll('button, input:not([hidden])')).filter(e => e.offsetParent)"
            ".map(e => [e.id, e.offsetWidth, e.offsetHeight]).filter(([, w, h]) => Math.min(w, h) < 36)"
        )
        assert small == []
    if height > width:  # the drawing and its picture are both to be seen
        assert browser.run("result.getBoundingClientRect().bottom") <= height
    assert browser.run("getComputedStyle(drawing).touchAction") == "none"
    browser.tap("#clear")
    drag(browser, [(0.2, 0.2), (0.7, 0.7)], "touch")
    assert browser.run("scrollY") == 0
    # All of the line is there: no part of the movement was taken for scrolling.
    drawing = assert_as_keras(browser, lines)
    width = 14 * len(drawing) / PAPER
    assert dark(drawing) == pytest.approx(0.5 * 2**0.5 * len(drawing) * width + 3.14 * (width / 2) ** 2, rel=0.06)


KINDS = [RGB, Encoding(channels=1), LABELS, Encoding(kind="lightness"), Encoding(kind="chroma")]


@pytest.mark.parametrize("encoding", KINDS, ids=lambda encoding: f"{encoding.kind}{encoding.channels}")
def test_pixels_are_those_of_the_package(browser, lines, encoding, rng):
    browser.open(lines.address)
    pixels = rng.integers(0, 256, (40, 25, 3), dtype=np.uint8)
    if encoding.kind == "labels":
        pixels = np.array(PALETTE, np.uint8)[rng.integers(0, 4, (40, 25))]
    rgba = np.concatenate([pixels, np.full((40, 25, 1), 255, np.uint8)], axis=-1)
    given = json.dumps(encoding.to_json())
    # Beyond [-1, 1] too, and halves of a step.
    values = rng.uniform(-1.1, 1.1, (40, 25, encoding.depth)).astype(np.float32)
    values[0] = 2 * np.arange(25, dtype=np.float32)[:, None] / 255 + 1 / 255 - 1
    light = rng.uniform(-1, 1, (40, 25, 1)).astype(np.float32)
    seen, picture = browser.run(
        f"import('./pixels.js').then((pixels) => [pixels.toNetwork(Uint8ClampedArray.from({rgba.ravel().tolist()}),"
        f"{given}), pixels.toImage(Float32Array.from({values.ravel().tolist()}), {given},"
        f"Float32Array.from({light.ravel().tolist()}))].map((array) => Array.from(array)))"
    )
    picture = np.array(picture).reshape(40, 25, 4)
    expected = np.broadcast_to(encode.to_image(values, encoding, light).numpy(), (40, 25, 3)).astype(int)
    assert (picture[..., 3] == 255).all()
    if encoding.kind in ("image", "labels"):
        assert np.array_equal(picture[..., :3], expected)
    else:
        assert np.abs(picture[..., :3] - expected).max() <= 1
        assert (picture[..., :3] != expected).mean() < 0.01
    if encoding.kind == "chroma":  # nothing that a drawing could be
        return
    read = encode.classes(tf.constant(pixels), encoding) if encoding.kind == "labels" else tf.constant(pixels)
    if encoding.channels == 1:
        read = tf.constant(np.round(pixels @ [0.299, 0.587, 0.114])[..., None].astype(np.uint8))
    values = encode.to_network(read, encoding).numpy().ravel()
    np.testing.assert_allclose(seen, values, rtol=0, atol=0 if encoding.kind != "lightness" else 1e-5)


def test_what_does_not_work_is_said(browser, lines, tmp_path):
    shutil.copytree(lines.server.RequestHandlerClass.keywords["directory"], tmp_path / "web")
    (tmp_path / "web" / "model.tflite").write_bytes(b"broken")
    with make_server(tmp_path / "web") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        browser.open(f"http://127.0.0.1:{server.server_address[1]}/")
        browser.wait("document.body.dataset.state === 'failed'", 60)
        assert "Failed to load model from buffer" in browser.run("says.textContent")  # LiteRT's words
        press(browser, "Delete")
        assert browser.run("document.body.dataset.state") == "failed"
        assert browser.run("save.getAttribute('aria-disabled')") == "true"
        server.shutdown()
        thread.join()
    browser.events.clear()  # LiteRT.js complains of the file, rightly


def test_opened_as_a_file_it_says_how_to_serve_it(browser, lines):
    folder = Path(lines.server.RequestHandlerClass.keywords["directory"])
    browser.open((folder / "index.html").as_uri())
    said = browser.run("document.body.innerText")
    assert "python -m http.server" in said
    assert browser.run("document.querySelector('main').hidden") is True
    browser.events.clear()  # of what the browser refuses to load
