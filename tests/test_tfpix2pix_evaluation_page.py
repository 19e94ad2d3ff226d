"""The page of an evaluation, read as HTML."""

import base64
import hashlib
import io
import math
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.pages import printable
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
from tfpix2pix.evaluation import cards, tables
from tfpix2pix.evaluation.page import Plot, write_page
from tfpix2pix.evaluation.report import Evaluation, Relation
from tfpix2pix.metrics.metric import MetricInfo, MetricRow, Samples


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
    return page_writer(tmp_path)


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


def test_images_come_before_metrics_and_metrics_before_details(written):
    relation = Relation("flat_share", "Largest flat region", 0.5, 0.25, 0.75, 0.2, 0.4)
    found = read(written(evaluation(relations=(relation,)), drawn=[Plot("P", "c", png())]))
    sections = [attrs["id"] for attrs in found.attributes("section")]
    assert sections == ["examples", "images", "metrics", "relations", "plots", "details"]
    links = [attrs["href"].removeprefix("#") for attrs in found.attributes("a")]
    assert links == ["images", "metrics", "plots", "details"]
    little = read(written(evaluation(rows=(), notes=(), about={})))
    assert [attrs["id"] for attrs in little.attributes("section")] == ["examples", "images", "details"]
    assert [attrs["href"] for attrs in little.attributes("a")] == ["#images", "#details"]


def test_the_table(written):
    found = read(written())
    assert found.of("th", scope="col") == ["Metric", "Value", "95 % interval"]
    assert found.of("th", scope="row") == ["L1\xa0↓", "PSNR (dB)\xa0↑", "Edge density\xa0↓"]
    assert found.of("td") == ["0.2346", "0.2000 to 0.2500", "∞", "–", "0.5000", "0.4000 to 0.6000"]
    assert [attrs["aria-label"] for attrs in found.attributes("span") if "role" in attrs] == [
        "lower is better",
        "higher is better",
        "lower is better",
    ]
    terms = dict(zip(found.of("dt"), found.of("dd"), strict=True))
    assert found.of("dl", kind="measures") == ["L1Counted on [-1, 1]."]
    assert terms["Versions"] == "tfpix2pix 1.0, keras 3.10"


def test_real_images_have_a_column_where_there_is_a_value_of_them(written):
    rows = (MetricRow(EDGES, 0.5, 0.4, 0.6, real=0.75), MetricRow(L1, 0.25))
    found = read(written(evaluation(rows=rows)))
    assert found.of("th", scope="col") == ["Metric", "Value", "95 % interval", "Real images"]
    assert found.of("td") == ["0.5000", "0.4000 to 0.6000", "0.7500", "0.2500", "–", "–"]


def test_relations_are_a_table_of_one_line_each(written):
    relation = Relation("flat_share", "Largest flat region", 0.5, 0.25, 0.75, 0.2, 0.4)
    edges = Relation("edge_density", "Edge density", -0.5, -0.75, 0.25, 0.4, 0.2)
    found = read(written(evaluation(rows=(), relations=(relation, edges))))
    assert found.of("th", scope="row") == ["Largest flat region", "Edge density"]
    assert found.of("td") == [
        *("+0.50 (+0.25 to +0.75)", "0.200 → 0.400", "As in the paper"),
        *("−0.50 (−0.75 to +0.25)", "0.400 → 0.200", "Not clear"),
    ]


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
    assert tables.number(value, tables.decimals(value)) == text


def test_notes_and_their_commands(written):
    found = read(written())
    assert found.of("ul", kind="notes") == ["Few images.Run python -m tfpix2pix.train --a<b."]
    assert "python -m tfpix2pix.train --a<b" in found.of("code")
    assert read(written(evaluation(notes=()))).of("ul") == []


def test_plots_are_as_large_as_they_were_drawn(written):
    found = read(written(drawn=[Plot("Colours <3", "What & where.", png())]))
    image = next(attrs for attrs in found.attributes("img") if attrs["alt"] == "Colours <3")
    assert decoded(image["src"], "png").shape == (14, 28, 3)
    assert (image["width"], image["height"]) == ("19", "10")  # 28 and 14 px at 140 an inch, of 96 CSS pixels
    assert found.of("figcaption")[-1] == "Colours <3. What & where."


def test_all_images_are_there_the_worst_first(written):
    arrays = images()
    found = read(written(arrays=arrays))
    assert found.of("button", kind="open")[3:] == WORST_L1
    tags = found.attributes("img")[9:]
    assert [image["alt"] for image in tags] == [
        f"{name}, {side}" for name in WORST_L1 for side in ("input", "output", "target")
    ]
    for place, name in enumerate(WORST_L1):
        index = NAMES.index(name)
        shown = tags[3 * place : 3 * place + 3]
        seen = [decoded(image["src"], "webp") for image in shown]
        # Few colours: bit for bit.
        np.testing.assert_array_equal(seen[0], arrays[0][index])
        np.testing.assert_array_equal(seen[2], arrays[2][index])
        assert all(image["width"] == "12" and image["height"] == "8" for image in shown)
        assert all(image["loading"] == "lazy" and image["decoding"] == "async" for image in shown)
    assert [attrs["value"] for attrs in found.attributes("option") if "selected" in attrs] == ["l1"]


def test_the_page_begins_with_the_best_the_median_and_the_worst(written):
    found = read(written())
    assert found.of("h2")[0].endswith(" L1")
    rows = [row.removesuffix("inputoutputtarget") for row in found.of("li", kind="card example")]
    assert rows == ["BestL10.0000B1", f"MedianL10.3000{NAMES[4]}", "WorstL10.4000b9"]
    places = [int(attrs["data-card"]) for attrs in found.attributes("button") if "data-card" in attrs]
    assert [WORST_L1[place] for place in places] == ["B1", NAMES[4], "b9"]
    assert [image["alt"] for image in found.attributes("img")[:3]] == ["B1, input", "B1, output", "B1, target"]
    # Nothing is the best without a metric, and two images need no such rows.
    assert read(written(evaluation(image_metrics=()))).of("section", id="examples") == []
    two = evaluation(names=("a", "b"), values={key: np.array(values[:2]) for key, values in VALUES.items()})
    assert read(written(two, images(2))).of("section", id="examples") == []


def test_each_card_has_its_values(written):
    found = read(written())
    place = WORST_L1.index(HOSTILE)
    assert found.of("li", kind="card")[place].endswith("PSNR∞ dBL10.2000Edge density0.125")
    values = [float(attrs["value"]) for attrs in found.attributes("data")][3:]
    for number, name in enumerate(WORST_L1):
        index = NAMES.index(name)
        assert values[3 * number : 3 * number + 3] == [VALUES[key][index] for key in ("psnr", "l1", "edge_density")]


def test_without_l1_the_first_metric_orders(written):
    found = read(written(evaluation(image_metrics=(PSNR, EDGES))))
    assert found.of("button", kind="open")[3:] == ["b9", "b2", NAMES[4], "b10", HOSTILE, "B1"]


def test_photos_are_lossy_and_drawings_are_not():
    x, y = np.meshgrid(np.arange(64), np.arange(64))
    rng = np.random.default_rng(0)
    photo = np.stack([x * 4, y * 4, (x + y) * 2], -1) + rng.integers(-9, 10, (64, 64, 3))
    photo = np.clip(photo, 0, 255).astype(np.uint8)
    data = cards.webp(photo)
    lossless = io.BytesIO()
    Image.fromarray(photo).save(lossless, "WEBP", lossless=True)
    assert len(data) < len(lossless.getvalue()) / 2
    with Image.open(io.BytesIO(data)) as seen:
        assert np.abs(np.asarray(seen, float) - photo).mean() < 8
    # A grey photo has at most 256 colours, but is no drawing.
    grey = np.repeat(photo[..., :1], 3, axis=2)
    assert b"VP8 " in cards.webp(grey)[:16]
    assert b"VP8L" in cards.webp(np.where(photo[..., :1] > 99, 255, 0).repeat(3, axis=2).astype(np.uint8))[:16]


def test_the_page_needs_nothing_and_lets_nothing_in(written):
    found = read(written(drawn=[Plot("P", "c", png())]))
    for _, attrs in found.tags:
        assert all(attrs[name].startswith(("data:", "#")) for name in ("src", "href") if name in attrs)
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
    model, command, label, note, said, name, caption = texts
    info = MetricInfo("l1", label, "lower", "u", note)
    inputs, outputs, targets = images(1)
    result = Evaluation(
        {"model": model, "command": command, "dataset": caption},
        (MetricRow(info, 1.0),),
        (info,),
        (name,),
        {"l1": np.array([1.0])},
        (said,),
        samples=Samples(outputs, targets, inputs),
    )
    file = tmp_path_factory.mktemp("fuzz") / "index.html"
    write_page(result, [Plot(label, caption, png())], file)
    found = read(file)
    seen = [printable(text) for text in texts]
    assert found.of("h1") == [f"Evaluation of {seen[0]}"]
    assert found.of("code", id="command") == [seen[1]]
    assert found.of("th", scope="row") == [f"{seen[2]} (u)\xa0↓"]
    assert found.of("dl", kind="measures") == [seen[2] + seen[3]]
    assert found.of("ul")[0].replace("`", "") == seen[4].replace("`", "")
    assert found.of("button", kind="open") == [seen[5]]
    assert found.of("dd")[0] == seen[6]
    assert found.of("figcaption")[-1] == f"{seen[2]}. {seen[6]}"
    assert found.attributes("img")[0]["alt"] == f"{seen[5]}, input"
    assert found.attributes("option")[0]["data-note"] == seen[3]
    # Nothing of it became a tag.
    assert len(found.attributes("img")) == 4
    assert len(found.attributes("script")) == 1
    assert len(found.attributes("code")) <= 1 + said.count("`") // 2


def test_without_inputs_two_images_stand_side_by_side(tmp_path):
    _, outputs, targets = images()
    write_page(replace(evaluation(), samples=Samples(outputs, targets)), [], tmp_path / "index.html")
    alts = [attrs["alt"] for attrs in read(tmp_path / "index.html").attributes("img")][6:]
    assert alts == [f"{name}, {side}" for name in WORST_L1 for side in ("output", "target")]


def test_metrics_that_are_best_at_zero(written):
    bias = MetricInfo("l1", "Mean error", "zero")
    result = evaluation(
        rows=(MetricRow(bias, -0.25),),
        image_metrics=(bias,),
        values={"l1": np.array([0.1, -0.6, 0.2, -0.3, 0.4, 0.0])},
    )
    found = read(written(result))
    assert found.of("td") == ["−0.2500", "–"]
    assert found.of("th", scope="row") == ["Mean error\xa0→0"]
    assert found.of("button", kind="open")[3:] == ["b9", NAMES[4], "b2", HOSTILE, "b10", "B1"]


def test_images_that_do_not_fit_are_refused(tmp_path):
    inputs, outputs, targets = images()
    file = tmp_path / "index.html"
    with pytest.raises(ValueError, match=r"6 names.* 5 output"):
        write_page(replace(evaluation(), samples=Samples(outputs[:5], targets, inputs)), [], file)
    with pytest.raises(ValueError, match="targets"):
        write_page(replace(evaluation(), samples=Samples(outputs, targets / 255, inputs)), [], file)
    with pytest.raises(ValueError, match="images"):
        write_page(evaluation(), [], file)
    assert list(tmp_path.iterdir()) == []
