"""The picture of the figures: valid, to scale, readable on any ground."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.picture import Bar, Panel, picture

SVG = "{http://www.w3.org/2000/svg}"
WORKER = Panel(
    "One worker",
    "per s",
    [
        Bar("hookseal <worker> & more", 500.0, "500"),
        Bar("bare loop", 1000.0, "1000", is_ours=False),
    ],
)


def drawn(*panels: Panel, note: str = "2 CPUs") -> ET.Element:
    text = picture("hookseal, measured", note, panels)
    return ET.fromstring(text)  # noqa: S314 - our own


def bars(root: ET.Element) -> list[tuple[str, float]]:
    return [
        (rect.attrib["class"], float(rect.attrib["width"]))
        for rect in root.iter(f"{SVG}rect")
        if rect.attrib["class"] != "ground"
    ]


def texts(root: ET.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


class TestPicture:
    def test_bars_are_to_scale_and_say_whose_they_are(self) -> None:
        (ours, short), (other, long) = bars(drawn(WORKER))

        assert (ours, other) == ("ours", "other")
        assert long == 2 * short

    def test_it_says_what_each_bar_is_of_and_its_figure(self) -> None:
        found = texts(drawn(WORKER))

        assert found[:2] == ["hookseal, measured", "2 CPUs"]
        assert found[2:] == [
            "One worker",
            "per s",
            "hookseal <worker> & more",
            "500",
            "bare loop",
            "1000",
        ]

    def test_each_panel_has_a_scale_of_its_own(self) -> None:
        small = Panel("Start", "s", [Bar("memory", 0.5, "0.5")])

        found = bars(drawn(WORKER, small))

        assert found[2][1] == found[1][1]

    def test_nothing_is_drawn_outside(self) -> None:
        root = drawn(WORKER, Panel("Start", "s", [Bar("memory", 0.5, "0.5")] * 30))

        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for one in (*root.iter(f"{SVG}rect"), *root.iter(f"{SVG}text")):
            assert 0 <= float(one.attrib.get("x", "0")) <= width
            assert 0 <= float(one.attrib.get("y", "0")) <= height

    def test_a_figure_of_zero_is_a_bar_one_can_see(self) -> None:
        assert bars(drawn(Panel("None", "s", [Bar("nothing", 0.0, "0")]))) == [("ours", 1.0)]

    def test_a_panel_without_a_bar_is_left_out(self) -> None:
        assert "Nothing" not in texts(drawn(WORKER, Panel("Nothing", "s", [])))

    def test_a_long_label_is_cut(self) -> None:
        label = next(
            text
            for text in texts(drawn(Panel("One", "s", [Bar("x" * 200, 1.0, "1")])))
            if text.startswith("xx")
        )

        assert len(label) < 60
        assert label.endswith("…")

    def test_it_has_colours_for_light_and_dark_and_fetches_nothing(self) -> None:
        text = picture("hookseal, measured", "2 CPUs", [WORKER])

        assert "prefers-color-scheme:dark" in text
        for reference in ("href", "url(", "@import", "@font-face"):
            assert reference not in text
