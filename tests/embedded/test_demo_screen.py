"""What the demo shows: bars that move, lines that stay, and addresses in one piece on any terminal."""

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from embedded import demo_end
from embedded.demo_report import Report
from embedded.demo_screen import ENDLESS, Screen
from tools.errors import ObjectNotFound

BASE = "http://127.0.0.1:5000"
UUID = "0b9d3c52-2f1e-4a53-9a5e-0c7b8f3a1d20"
PATHS = {
    "train": "/api/models/12",
    "resolve_template": f"/api/templates/{UUID}",
    "generate": f"/api/images/{UUID}.png",
    "mask": f"/api/masks/{UUID}.png",
    "inpaint": f"/api/inpainted/{UUID}.png",
    "video": f"/api/videos/{UUID}.mp4",
}
NOTE = "The preview engine cannot read nouns: it masks the object that stands out most, or the one that you name."
NEXT = [(f"{BASE}/docs", "try the API in the browser")]


def screen(width: int, encoding: str = "utf-8", *, terminal: bool = True) -> tuple[Screen, io.TextIOWrapper]:
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    console = Console(
        file=shown, width=width, force_terminal=terminal, color_system=None, highlight=False, soft_wrap=True
    )
    return Screen(console), shown


def said(shown: io.TextIOWrapper) -> str:
    shown.flush()
    raw = shown.buffer.getvalue()  # type: ignore[attr-defined]  # it is a BytesIO
    return raw.decode(shown.encoding)  # type: ignore[no-any-return]  # the same


def play(report: Report) -> None:
    """Go through two runs, as if each tool had done its work."""
    for run in ("http", "celery"):
        for tool, path in PATHS.items():
            with report.step(run, tool) as step:
                step.path, step.file = path, step.place
                step.job = {"warnings": [{"code": "no_nouns", "message": NOTE}]} if tool == "mask" else {}


@pytest.mark.parametrize("width", [80, 100, 120, ENDLESS])
@pytest.mark.parametrize("base", [None, BASE])
def test_no_line_is_wider_than_the_terminal_and_each_address_is_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, base: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    shows, shown = screen(width, terminal=False)
    report = Report(Path("var/demo"), shows, base)
    play(report)
    demo_end.show(report, 17.3, NEXT)
    lines = said(shown).splitlines()
    assert max(map(len, lines)) <= width
    for step in report.steps:
        file = f"var/demo/{step.run}/{step.place.name}"
        address = base + PATHS[step.tool] if base else file
        in_the_table = address if width > 110 else file
        for wanted, times in ((address, 1), (in_the_table, 2 if in_the_table == address else 1)):
            assert sum(line.rstrip().endswith(wanted) for line in lines) >= times, wanted
    assert "All 12 steps of all runs completed in 17 s" in said(shown)
    assert " ".join(said(shown).split()).count(" ".join(["mask", *NOTE.split()])) == 1  # of two runs, said once
    assert any(line.endswith("var/demo/contact-sheet.png") for line in lines)
    assert any(f"{BASE}/docs" in line for line in lines)


def test_several_bars_stand_together_with_their_stages_and_leave_a_line_each(tmp_path: Path) -> None:
    shows, shown = screen(80)
    report = Report(tmp_path, shows)
    with suppress(KeyboardInterrupt), report.whole():
        one, other = (report.begin("http", "generate", scene) for scene in ("", "beach"))
        one.tell("waiting_for_gpu", 0.0)
        other.tell("compositing", 0.5)
        assert shows.bars
        shows.bars.refresh()
        for words in ("generate beach", "waiting for gpu", "compositing"):
            assert words in said(shown)
        with report.ending(other):
            other.file = other.place
        assert "✓ generate beach" in said(shown)
        assert shows.bars  # one still goes on
        raise KeyboardInterrupt
    assert shows.bars is None
    assert said(shown).endswith("stopped\n")
    assert said(shown).rindex("\x1b[?25h") > said(shown).rindex("\x1b[?25l")  # the terminal has its cursor back
    assert [step["status"] for step in json.loads((tmp_path / "report.json").read_text())["steps"]] == [
        "stopped",
        "completed",
    ]


def test_in_a_pipe_there_are_plain_lines_and_nothing_else(tmp_path: Path) -> None:
    shows, shown = screen(ENDLESS, terminal=False)
    report = Report(tmp_path, shows)
    with report.step("http", "mask") as step:
        step.tell("segmenting", 0.5)
        step.file = step.place
    assert said(shown).startswith("  ✓ mask")
    assert said(shown).rstrip().endswith(str(tmp_path / "http" / "mask.png"))
    assert "\x1b" not in said(shown)
    assert "segmenting" not in said(shown)


def test_a_terminal_without_unicode_gets_ascii(tmp_path: Path) -> None:
    shows, shown = screen(80, "ascii")
    report = Report(tmp_path, shows)
    play(report)
    demo_end.show(report, 1.0, NEXT)
    assert "  ok train" in said(shown)


def test_a_failure_is_told_by_its_step_and_the_others_are_stopped(tmp_path: Path) -> None:
    shows, shown = screen(80, terminal=False)
    report = Report(tmp_path, shows)
    with suppress(ObjectNotFound), report.whole():
        one, other = (report.begin("http", "generate", scene) for scene in ("", "beach"))
        with report.ending(other):
            raise ObjectNotFound
    assert (one.status, other.status) == ("stopped", "failed")
    assert report.failed() == "http.generate.beach failed: "
    assert "✗ generate beach" in said(shown)
