"""The documents name only what is there, and say the numbers the source has."""
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted(p for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name_of(page):
    return str(page.relative_to(ROOT))


def anchors(page):
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_local_link_resolves(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name_of(page)}: {target}"
        assert not anchor or anchor in anchors(there), f"{name_of(page)}: {target}"


def is_there(path):
    if any(mark in path for mark in "*{$<") or "XXXX" in path:
        return "*" not in path or "{" in path or any(list(root.glob(path)) for root in (ROOT, ROOT / "src"))
    return (ROOT / path).exists() or (ROOT / "src" / path).exists()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_named_exists(page):
    folders = "build|tools|docs|src|sdk|spec|cli|sim|bench|test/(?:flow|fuzz|peers|sim)|examples|console|dist|core|gate|cell|store|desk|host|ring|wire|twin|base"
    missing = []
    made = set(re.findall(r"--out (\S+)", page.read_text()))
    for code in re.findall(r"`([^`\n]+)`|^ *\$? *((?:build|tools)/.+)$", page.read_text(), re.M):
        for path in re.findall(rf"(?:^|[\s=(@/])((?:{folders})/[\w./*{{}}-]*\w)", " " + (code[0] or code[1])):
            if path not in made and not is_there(path):
                missing.append(path)
    assert missing == []


def test_every_limit_is_the_sources():
    text = "\n".join(p.read_text() for p in (ROOT / "src").rglob("*.[ch]"))
    values = {name: value for name, value in re.findall(r"^\s*(?:enum \{ )?([A-Z][A-Z0-9_]+) = ([^,/\n}]+)[,}\n ]", text, re.M)}
    page = (ROOT / "docs" / "limits.md").read_text()
    named = re.findall(r"^\| ((?:`[A-Z0-9_]+`(?:, )?)+) \| ([^|]*)", page, re.M)
    assert len(named) > 60
    wrong = []
    for names, said in named:
        for name in re.findall(r"`([A-Z0-9_]+)`", names):
            if name not in values:
                wrong.append(f"{name} is not in the source")
                continue
            number = eval(values[name].strip(), {"__builtins__": {}}, {})  # arithmetic of constants
            numbers = {int(n) for n in re.findall(r"\d+", said)}
            times = {number // 3600, number // 86400, number // (1 << 20)}
            if number not in numbers and not times & numbers:
                wrong.append(f"{name} is {number}, the page says {said.strip()}")
    assert wrong == []


def test_the_tables_of_the_exposure_function_are_those_of_spec():
    told = subprocess.run([sys.executable, str(ROOT / "tools" / "scef_page.py"), "--check", str(ROOT / "docs" / "scef.md")],
                          capture_output=True, text=True)
    assert told.returncode == 0, told.stderr


def test_performance_is_what_its_results_give():
    done = subprocess.run([ROOT / "tools" / "plot", "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("plot", sorted((ROOT / "docs" / "performance").glob("*.svg")), ids=lambda path: path.name)
def test_a_plot_is_drawn_within_its_frame(plot):
    drawing = xml.etree.ElementTree.parse(plot).getroot()
    width, height = int(drawing.get("width")), int(drawing.get("height"))
    circles = [element for element in drawing.iter() if element.tag.endswith("circle")]
    assert len(circles) >= 3
    assert all(0 <= float(c.get("cx")) <= width and 0 <= float(c.get("cy")) <= height for c in circles)
