"""Pictures as cameras, phones and editors write them, and files that are no pictures."""

import numpy as np
import pytest
from PIL import Image

from fer_bench.inference.inputs import find_inputs
from fer_bench.inference.predictor import Predictor
from fer_bench.inference.table import shares_of
from tests.inference.models import CLASSES, Colours

SIDE = 64


@pytest.fixture
def flat():
    """RGB [64, 64, 3]: left half red, right half green."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[:, : SIDE // 2] = (200, 20, 20)
    picture[:, SIDE // 2 :] = (20, 180, 20)
    return picture


@pytest.fixture
def predict():
    return lambda path: Predictor(Colours(), faces="whole").predict(path)


@pytest.fixture
def plain(flat, predict, tmp_path):
    Image.fromarray(flat).save(tmp_path / "plain.png")
    return shares_of(predict(tmp_path / "plain.png"), CLASSES)


class TestKindsOfPictures:
    """Each is predicted as the same picture in a plain PNG."""

    def check(self, path, predict, plain, atol=0.02):
        found = predict(path)
        assert found["reason"].isna().all()
        np.testing.assert_allclose(shares_of(found, CLASSES), plain, atol=atol)

    def test_cmyk(self, flat, predict, plain, tmp_path):
        Image.fromarray(flat).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
        self.check(tmp_path / "a.jpg", predict, plain, atol=0.1)

    def test_sixteen_bits(self, flat, predict, plain, tmp_path):
        import cv2

        deep = (flat.astype(np.uint16) * 257)[:, :, ::-1]
        assert cv2.imwrite(str(tmp_path / "a.png"), np.ascontiguousarray(deep))
        assert cv2.imwrite(str(tmp_path / "a.tiff"), np.ascontiguousarray(deep))
        self.check(tmp_path / "a.png", predict, plain)
        self.check(tmp_path / "a.tiff", predict, plain)

    @pytest.mark.parametrize("ending", ["gif", "webp", "png"])
    def test_an_animation_is_its_first_picture(self, flat, predict, plain, tmp_path, ending):
        frames = [Image.fromarray(flat), Image.fromarray(255 - flat)]
        path = tmp_path / f"a.{ending}"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
        found = predict(path)
        assert len(found) == 1
        self.check(path, predict, plain)

    @pytest.mark.parametrize("turn", [3, 6, 8])
    def test_turned_by_exif(self, flat, tmp_path, turn):
        """A model that sees the top half only tells whether the picture is upright."""
        tall = np.concatenate([flat[:, : SIDE // 2], flat[:, SIDE // 2 :]])  # red above green
        stored = {3: np.rot90(tall, 2), 6: np.rot90(tall), 8: np.rot90(tall, -1)}[turn]
        exif = Image.Exif()
        exif[0x0112] = turn
        Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.jpg", exif=exif, quality=95)

        class Top(Colours):
            def answer(self, crops):
                top = np.zeros_like(crops)
                top[:] = crops[:, : len(crops[0]) // 4].mean(axis=(1, 2), keepdims=True)
                return super().answer(top)

        found = Predictor(Top(), faces="whole").predict(tmp_path / "a.jpg")
        assert found["predicted"].tolist() == ["anger"]

    def test_transparent(self, flat, predict, plain, tmp_path):
        opaque = np.dstack([flat, np.full((SIDE, SIDE), 255, np.uint8)])
        Image.fromarray(opaque).save(tmp_path / "a.png")
        self.check(tmp_path / "a.png", predict, plain)
        clear = np.dstack([flat, np.zeros((SIDE, SIDE), np.uint8)])
        Image.fromarray(clear).save(tmp_path / "b.png")
        np.testing.assert_allclose(shares_of(predict(tmp_path / "b.png"), CLASSES), 1 / 3, atol=0.01)

    def test_grey(self, predict, tmp_path):
        Image.fromarray(np.full((SIDE, SIDE), 128, np.uint8)).save(tmp_path / "a.png")
        np.testing.assert_allclose(shares_of(predict(tmp_path / "a.png"), CLASSES), 1 / 3, atol=0.01)


class TestSizes:
    def test_a_panorama_of_twenty_thousand_pixels(self, tmp_path):
        Image.fromarray(np.full((500, 20_000, 3), 90, np.uint8)).save(tmp_path / "a.png")
        found = Predictor(Colours("detect")).predict(tmp_path / "a.png")
        assert found["reason"].tolist() == ["no face was found"]

    def test_one_pixel(self, predict, tmp_path):
        Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(tmp_path / "a.png")
        for finds in (predict, Predictor(Colours("detect")).predict):
            assert finds(tmp_path / "a.png")["reason"].tolist() == ["the picture is too small: 1x1 pixels"]


class TestDamage:
    def test_each_has_a_row_with_its_reason(self, flat, predict, tmp_path):
        place = tmp_path / "in"
        place.mkdir()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8)).save(
            place / "a.jpg"
        )
        whole = (place / "a.jpg").read_bytes()
        (place / "b.jpg").write_bytes(whole[: len(whole) // 2])
        (place / "c.jpg").write_bytes(whole[: len(whole) // 2] + bytes(200) + whole[len(whole) // 2 + 200 :])
        (place / "d.jpg").write_text("a text file")
        (place / "e.jpg").write_bytes(b"")
        Image.fromarray(np.zeros((20, 20), np.float32)).save(place / "f.tiff")
        (place / "g.jpg").symlink_to(place / "absent.jpg")
        found = predict(place).set_index("file")["reason"]
        reasons = {name.rpartition("/")[2]: reason for name, reason in found.items()}
        assert isinstance(reasons["a.jpg"], float)
        assert reasons["b.jpg"].startswith("the JPEG is truncated")
        assert reasons["c.jpg"].startswith("the picture decodes only in part")
        assert reasons["d.jpg"] == "the picture cannot be decoded (11 bytes)"
        assert reasons["e.jpg"] == "the picture cannot be decoded (0 bytes)"
        assert "integers of 8 or 16 bits" in reasons["f.tiff"]
        assert reasons["g.jpg"].startswith("the picture cannot be read")
        assert len(reasons) == 7

    def test_videos_too(self, clip, predict, tmp_path):
        place = tmp_path / "in"
        place.mkdir()
        for name in ("a.avi", "b.avi"):
            clip(place / name)
        (place / "b.avi").write_bytes((place / "a.avi").read_bytes()[: (place / "a.avi").stat().st_size // 2])
        (place / "c.mp4").write_bytes(b"no video")
        found = predict(place)
        by_file = {item.path.name: found[found["file"] == item.name] for item in find_inputs([place]).items}
        assert len(by_file["a.avi"]) == 20
        cut = by_file["b.avi"]
        assert cut["predicted"].notna().sum() == len(cut) - 1
        assert cut["reason"].iloc[-1].startswith("the video is cut off or damaged")
        assert by_file["c.mp4"]["reason"].iloc[0].startswith("the video cannot be opened")

    def test_a_file_that_vanishes_meanwhile(self, flat, predict, tmp_path):
        Image.fromarray(flat).save(tmp_path / "a.png")
        items = find_inputs([tmp_path]).items
        items[0].path.unlink()
        ((_, (row,)),) = Predictor(Colours(), faces="whole").stream(items)
        assert row["reason"].startswith("the picture cannot be read")
