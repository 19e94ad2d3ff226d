import numpy as np
from PIL import Image

from tfpix2pix.training.figures import loss_plot, sample_sheet


def test_sheet_shows_every_picture_pixel_for_pixel(tmp_path, rng):
    rows = [tuple(rng.integers(0, 256, (24, 40, 3), dtype=np.uint8) for _ in range(3)) for _ in range(5)]
    sample_sheet(rows, "title", tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (24, 40, 3))[:, :, 0]
    places = []
    for row in rows:
        for picture in row:
            (place,) = np.argwhere(
                (windows[:, :, 0, 0] == picture[0, 0]).all(-1) & (windows == picture).all((-3, -2, -1))
            )
            places.append(tuple(place))
    tops = [top for top, _ in places]
    # Two triples a line: input, output, target from left to right, at one height.
    assert tops[:6] == [tops[0]] * 6
    assert sorted(left for _, left in places[:6]) == [left for _, left in places[:6]]
    assert tops[12] > tops[6] > tops[0]


def test_loss_plot(tmp_path):
    rows = "".join(f"{step},0.7,0.7,{1 / step}\n" for step in range(1, 400))
    (tmp_path / "h.csv").write_text("step,d_loss,g_gan,g_l1\n" + rows)
    (tmp_path / "v.csv").write_text("step,val_l1\n200,0.5\n399,0.4\n")
    loss_plot(tmp_path / "h.csv", tmp_path / "v.csv", tmp_path / "plot.png")
    picture = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB"))
    assert picture.shape[1] > 1000
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
