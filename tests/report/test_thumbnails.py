from pathlib import Path

from PIL import Image

from gingham.report.thumbnails import Thumbnails


def test_thumbnails_end_at_their_limits(tmp_path: Path) -> None:
    paths = {}
    for number in range(5):
        Image.effect_noise((400, 300), 50).save(tmp_path / f"{number}.png")
        paths[str(number)] = tmp_path / f"{number}.png"
    few = Thumbnails(paths, limit=3, limit_bytes=10**9)
    assert [few(name) is not None for name in paths] == [True, True, True, False, False]
    first = Thumbnails(paths, limit=9, limit_bytes=10**9)("0")
    assert first is not None
    assert (first.width, first.height) == (400, 300)
    small = Thumbnails(paths, limit=9, limit_bytes=len(first.uri))
    assert small("0") == first
    assert small("0") is None, "a second use costs its bytes once more"
    (tmp_path / "0.png").write_text("gone")
    assert Thumbnails(paths, limit=9, limit_bytes=10**9)("0") is None
