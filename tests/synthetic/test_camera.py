from fer_bench.synthetic.camera import CAMERAS, camera_of
from fer_bench.synthetic.population import MAKEUP, Population


def test_every_population_has_a_camera():
    assert set(CAMERAS) == set(MAKEUP)


def test_cameras_differ_and_development_has_its_own():
    assert len({repr(camera) for camera in CAMERAS.values()}) == len(CAMERAS)
    mine, theirs = Population("rafdb"), Population("rafdb", "development")
    assert camera_of(mine) == CAMERAS["rafdb"]
    assert camera_of(theirs) != camera_of(mine)
    assert camera_of(theirs) == camera_of(theirs)
