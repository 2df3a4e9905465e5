"""The page of faces: nothing on it is executed or loaded, and blurring hides people."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from fer_bench.inference.gallery import Gallery
from fer_bench.inference.inputs import find_inputs
from fer_bench.inference.predictor import Predictor
from tests.inference.models import Colours

IMAGES = re.compile(r'src="data:image/jpeg;base64,([^"]+)"')


class Page(HTMLParser):
    """Tags, their attributes, and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def folder(colour, clip, tmp_path):
    place = tmp_path / "in"
    colour(place / "a <script>alert(1)</script>'\".png", (200, 0, 0))
    colour(place / "green.jpg", (0, 200, 0))
    colour(place / "grey.png", (90, 90, 90))
    (place / "text&.jpg").write_text("x")
    clip(place / "clip.avi", frames=4)
    return place


def make(folder, tmp_path, **options):
    predictor = Predictor(Colours(affect=True), faces="whole", abstain_below=0.5)
    items = find_inputs([folder]).items
    table = predictor.predict(folder)
    count = Gallery(predictor.card, predictor.finder, **options).write(table, items, tmp_path / "g.html")
    text = (tmp_path / "g.html").read_text(encoding="utf-8")
    pictures = [
        cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR_RGB)
        for data in IMAGES.findall(text)
    ]
    return count, text, Page(text), pictures


def test_every_face_is_on_it_with_its_answer(folder, tmp_path):
    count, text, page, pictures = make(folder, tmp_path)
    assert count == 7
    assert len(pictures) == 7
    np.testing.assert_allclose(pictures[-1].reshape(-1, 3).mean(axis=0), [200, 0, 0], atol=4)
    words = " ".join(page.texts)
    assert "Predictions of colours on rafdb" in words
    assert "SYNTHETIC" in words
    assert "7 faces in 5 files, 5 abstained; 1 row without a face." in words
    assert "the picture cannot be decoded (1 bytes)" in words
    assert "clip.avi at 0.30 s" in words
    assert "valence +1.00" in words
    assert text.count('class="face abstained"') == 5


def test_names_of_files_are_only_text(folder, tmp_path):
    _, text, page, _ = make(folder, tmp_path)
    assert "<script>alert" not in text
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    titles = [attributes.get("title", "") for _, attributes in page.tags]
    assert any("a <script>alert(1)</script>'\".png" in title for title in titles)


def test_nothing_is_loaded_from_elsewhere(folder, tmp_path):
    _, text, page, _ = make(folder, tmp_path)
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset"):
            assert attributes.get(name, "data:").startswith("data:")
    assert "http" not in text
    assert "url(" not in text


def test_blurred_faces_are_unrecognisable_and_nameless(workspace, tmp_path):
    dataset = workspace.source("oulu").dataset
    place = tmp_path / "in"
    place.mkdir()
    faces = [dataset.load(path, [-1])[0] for path in dataset.index["path"].iloc[[0, -1]]]
    for number, face in enumerate(faces):
        cv2.imwrite(str(place / f"anna-{number}.png"), face[:, :, ::-1])
    (place / "bert.jpg").write_text("x")
    _, text, _, clear = make(place, tmp_path)
    assert "anna-1.png" in text
    _, text, _, pictures = make(place, tmp_path, blur=True)
    assert "anna" not in text
    assert "bert" not in text
    assert "made unrecognisable" in text
    assert len(pictures) == 2
    for sharp, blurred in zip(clear, pictures, strict=True):
        assert detail(blurred) < 0.01 * detail(sharp)


def detail(image):
    """Return the energy of what is finer than a twelfth of a picture."""
    grey = image.mean(axis=2)
    grey = (grey - grey.mean()) * np.outer(*[np.hanning(side) for side in grey.shape])
    spectrum = np.abs(np.fft.fft2(grey)) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side) * side for side in grey.shape], indexing="ij"))
    return float(spectrum[frequency > 12].sum())


def test_many_faces_are_a_spread_choice(folder, tmp_path):
    count, _, page, _ = make(folder, tmp_path, most=3)
    assert count == 3
    assert "3 of them are shown, evenly spread." in " ".join(page.texts)


def test_maps_are_shown_beside_their_faces(folder, tmp_path):
    asked = []

    def maps(crops, classes):
        asked.append((crops.shape, classes.tolist()))
        return [[("the <map>", 255 - crop)] for crop in crops]

    _, _, page, pictures = make(folder, tmp_path, maps=maps)
    assert asked == [((7, 32, 32, 3), asked[0][1])]
    assert len(pictures) == 14
    assert any(attributes.get("title") == "the <map>" for _, attributes in page.tags)
    assert page.texts.count("the <map>") == page.texts.count("face") == 7


def test_a_map_that_is_zero_everywhere_says_so(folder, tmp_path):
    def maps(crops, classes):
        return [[("map", None if number else crop)] for number, crop in enumerate(crops)]

    _, _, page, pictures = make(folder, tmp_path, maps=maps)
    assert len(pictures) == 8
    assert page.texts.count("empty map") == 6
    assert page.texts.count("map") == 7


def test_a_page_without_faces_says_so(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_text("x")
    count, text, _, _ = make(tmp_path / "in", tmp_path)
    assert count == 0
    assert "No face to show." in text
