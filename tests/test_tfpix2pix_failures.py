import io
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from tfpix2pix.evaluation import failures
from tfpix2pix.evaluation.failures import INPUT_METRICS, finding, notes, plot, relate, worst_sheet
from tfpix2pix.evaluation.report import Evaluation, Relation
from tfpix2pix.metrics.metric import MetricInfo
from tfpix2pix.training.figures import shortened

L1 = MetricInfo("l1", "L1", "lower")
EIGHT = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


def result_of(l1, names=None, **values):
    arrays = {key: np.asarray(value, float) for key, value in {"l1": l1, **values}.items()}
    infos = (L1, *(info for info in INPUT_METRICS if info.name in values))
    return Evaluation({}, (), infos, tuple(names or [f"image {n}" for n in range(len(l1))]), arrays)


def some(count=40, **scores):
    rng = np.random.default_rng(3)
    sparse = rng.uniform(size=count)
    return result_of(
        0.2 + 0.3 * sparse + rng.normal(0, 0.05, count),
        flat_share=sparse,
        edge_density=rng.uniform(0.1, 0.6, count),
        novelty=rng.uniform(0.5, 2, count),
        **scores,
    )


# ---------------------------------------------------------------- relations


def test_relation_by_hand():
    # Ranks of the score against 1..8 differ by 1, 1, 0, 0, 0, 0, 1, 1: rho = 1 - 6 * 4 / (8 * 63) = 0.952.
    (relation,) = relate(result_of(EIGHT, flat_share=[2, 1, 3, 4, 5, 6, 80, 7]))
    assert (relation.name, relation.label) == ("flat_share", "Largest flat region")
    assert relation.rho == pytest.approx(1 - 24 / 504)
    assert relation.low < relation.rho <= relation.high == 1
    assert relation.l1_lowest == pytest.approx(0.15)  # of the images with 1 and 2
    assert relation.l1_highest == pytest.approx(0.75)


def test_perfect_relations():
    up, down = relate(result_of(EIGHT, flat_share=np.square(EIGHT), edge_density=np.negative(EIGHT)))
    assert (up.rho, up.low, up.high) == pytest.approx((1, 1, 1))
    assert (down.rho, down.low, down.high) == pytest.approx((-1, -1, -1))
    assert (down.l1_lowest, down.l1_highest) == pytest.approx((0.75, 0.15))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_many_rank_correlations_equal_scipy(points, seed):
    pairs = np.array(points, float)
    samples = pairs[np.random.default_rng(seed).integers(len(pairs), size=(5, len(pairs)))]
    for sample, rho in zip(samples, failures._rank_correlations(samples), strict=True):
        if np.ptp(sample, axis=0).all():
            assert rho == pytest.approx(stats.spearmanr(sample[:, 0], sample[:, 1]).statistic, abs=1e-12)
        else:
            assert rho == 0  # no order at all


def test_the_interval_is_that_of_single_resamples():
    result = some(20)
    rng = np.random.default_rng(0)  # as `bootstrap.interval` draws
    draws = rng.integers(20, size=(2000, 20))
    score, l1 = result.values["flat_share"], result.values["l1"]
    single = np.sort([stats.spearmanr(score[draw], l1[draw]).statistic for draw in draws])
    relation = relate(result)[0]
    # The 50th and the 1,950th of 2,000 in order.
    assert (relation.low, relation.high) == pytest.approx((single[49], single[1949]))


def test_a_relation_is_found_where_there_is_one():
    sparse, edges, new = relate(some(100))
    assert [relation.name for relation in (sparse, edges, new)] == [info.name for info in INPUT_METRICS]
    assert sparse.low > 0.6
    assert all(relation.low < 0 < relation.high for relation in (edges, new))


def test_what_has_no_relation():
    assert relate(result_of(EIGHT[:7], flat_share=range(7))) == []
    assert relate(result_of([0.5] * 8, flat_share=range(8))) == []
    assert relate(result_of(EIGHT)) == []
    (only,) = relate(result_of(EIGHT, flat_share=[1] * 8, novelty=range(8)))
    assert only.name == "novelty"


def test_nearly_constant_scores_have_an_interval():
    # Many resamples draw one value alone.
    (relation,) = relate(result_of(EIGHT, flat_share=[0, 0, 0, 0, 0, 0, 0, 1]))
    assert relation.low == 0 < relation.high <= 1


# ---------------------------------------------------------------- notes


def test_notes_say_what_was_found():
    relation = Relation("flat_share", "Largest flat region", 0.5, 0.25, 0.75, 0.2, 0.4)
    edges = Relation("edge_density", "Edge density", -0.5, -0.75, -0.25, 0.4, 0.2)
    flat, thin = notes([relation, edges])
    assert re.search(r"flat region .*L1.* \+0\.50, .* \+0\.25 .* \+0\.75", flat)
    assert re.search(r"edges .*L1.* -0\.50, .* -0\.75 .* -0\.25", thin)
    assert finding(relation) == finding(edges)
    assert finding(edges) in flat
    assert finding(replace(edges, rho=0.5, low=0.25, high=0.75)) != finding(edges)


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.4), (0.0, 0.4), (-0.4, 0.0)])
def test_findings_do_not_claim_what_may_be_chance(low, high):
    unclear = Relation("novelty", "Distance to training inputs", 0.2, low, high, 0.3, 0.35)
    claims = replace(unclear, low=0.1, high=0.4), replace(unclear, rho=-0.2, low=-0.4, high=-0.1)
    assert finding(unclear) not in {finding(claim) for claim in claims}


def test_every_score_has_words():
    assert set(failures._DIFFICULT) == {info.name for info in INPUT_METRICS}
    assert {info.name for info in INPUT_METRICS} | {"l1"} == set(failures._CAPTIONS)


# ---------------------------------------------------------------- images


def test_plot_has_a_panel_for_each_relation():
    result = some()
    relations = relate(result)
    one, three = (Image.open(io.BytesIO(plot(result, some_of))) for some_of in (relations[:1], relations))
    assert one.format == three.format == "PNG"
    assert three.height > 2 * one.height
    assert three.width / 140 * 96 < 480  # CSS pixels: hardly wider than a phone


def test_plot_takes_any_name_and_an_input_that_is_like_no_other():
    names = tuple(f"$a_{{{n}$ 日本/{'long/' * 40}{n}\n.png" for n in range(40))
    for odd in (60, 0):  # 0: a training input
        result = some()
        novelty = np.where(np.arange(40) == 7, odd, result.values["novelty"])
        result = replace(result, names=names, values={**result.values, "novelty": novelty})
        assert Image.open(io.BytesIO(plot(result, relate(result)))).width < 2000


def test_no_relations_no_plot():
    with pytest.raises(ValueError, match="relation"):
        plot(some(), [])


def coloured(count, height, width):
    """Three sets of images, each of one colour that says which it is."""
    value = np.arange(1, count + 1, dtype=np.uint8)[:, None, None] * np.ones((1, height, width), np.uint8)
    zero = np.zeros_like(value)
    sets = (value, zero, zero), (zero, value, zero), (zero, zero, value)
    return [np.stack(channels, axis=-1) for channels in sets]


@pytest.mark.parametrize("size", [(32, 32), (40, 24), (170, 200)])
def test_sheet_shows_the_six_worst_in_order(tmp_path, size):
    l1 = np.array([0.3, 0.9, 0.1, 0.5, 0.8, 0.2, 0.7, 0.6, 0.4])
    result = result_of(l1, names=["n" * 300, *"bcdefghi"], flat_share=l1 / 2, novelty=l1)
    worst_sheet(result, *coloured(9, *size), tmp_path / "worst.png")
    sheet = np.asarray(Image.open(tmp_path / "worst.png")).astype(int)
    height, width = (side * -(-160 // size[1]) for side in size)
    places = []
    for value in (2, 5, 7, 8, 4, 9):  # 0.9, 0.8, 0.7, 0.6, 0.5, 0.4
        for channel in range(3):
            colour = np.eye(3, dtype=int)[channel] * value
            rows, columns = np.nonzero((sheet == colour).all(axis=-1))
            assert len(rows) == height * width
            places.append((rows.min(), columns.min()))
    assert places == sorted(places)
    for value in (1, 3, 6):
        assert not (sheet == (value, 0, 0)).all(axis=-1).any()
    # Something is written below each row.
    for top, left in places[::3]:
        below = sheet[top + height : top + height + 40, left : left + 3 * width]
        assert (below < 128).any()


def test_sheet_of_few_images(tmp_path):
    result = result_of([0.5, 0.6])
    worst_sheet(result, *coloured(2, 32, 32), tmp_path / "worst.png")
    assert np.asarray(Image.open(tmp_path / "worst.png")).shape[1] > 6 * 160


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_images_that_do_not_fit(tmp_path, wrong):
    images = coloured(3, 32, 32)
    images[wrong] = images[wrong][:, :16]
    with pytest.raises(ValueError, match=r"3 names.*\(3, 16, 32, 3\)"):
        worst_sheet(result_of([0.1, 0.2, 0.3]), *images, tmp_path / "worst.png")
    with pytest.raises(ValueError, match="2 names"):
        worst_sheet(result_of([0.1, 0.2]), *coloured(3, 32, 32), tmp_path / "worst.png")
    assert list(tmp_path.iterdir()) == []


def test_names_lose_their_middle():
    assert shortened("facade_0001.png", 15) == "facade_0001.png"
    assert shortened("facade_0001.png", 14) == "facade_…01.png"
    assert [len(shortened("facade_0001.png", length)) for length in range(1, 15)] == list(range(1, 15))
