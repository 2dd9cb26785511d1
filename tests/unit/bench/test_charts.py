"""The charts: drawn from points, and equal when drawn twice."""

from pathlib import Path
from xml.etree import ElementTree

from bench.charts import draw


def test_a_chart_shows_its_services_and_is_reproducible(tmp_path: Path) -> None:
    curves = {"clients": {"float16": [(1, 80.0), (16, 230.0)], "int8": [(1, 110.0), (16, 390.0)]}}
    files = draw(curves, 27.0, tmp_path)
    assert [file.name for file in files] == ["clients.svg"]  # nothing was measured for the other
    words = " ".join(ElementTree.fromstring(files[0].read_text()).itertext())
    assert all(word in words for word in ("float16", "int8", "baseline, 16 clients", "requests/s"))
    first = files[0].read_bytes()
    assert draw(curves, 27.0, tmp_path)[0].read_bytes() == first
    assert [file.name for file in draw(curves, 27.0, tmp_path, "model-processor-")] == ["model-processor-clients.svg"]
