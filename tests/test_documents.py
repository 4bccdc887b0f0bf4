"""What the documents promise: the README's code, its list of methods, links, and the tables' marks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import saliency_core as sc
from benchmarks.__main__ import DOCUMENT, replaced

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def test_the_python_code_in_the_readme_runs_and_prints_what_its_comments_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)  # it saves files
    exec(compile(code, "README.md", "exec"), {})
    promised = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert promised
    assert capsys.readouterr().out.splitlines() == promised


def test_the_readme_lists_every_named_method_and_no_other() -> None:
    rows = re.findall(
        r"^\| (?:NormGrad|Class activation|Gradient|Modified|Attention|Many-pass).*$", README, re.MULTILINE
    )
    listed = {name for row in rows for name in re.findall(r"`([a-z_0-9]+)`", row)}
    assert listed == {name for name, method in sc.METHODS.items() if method.family != "Framework cells"}


def headings(document: Path) -> set[str]:
    """The names by which links name a document's headings."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file_and_to_a_heading_in_it(document: Path) -> None:
    missing = []
    for target, heading in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", document.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file = document.parent / target if target else document
        if not file.exists() or (heading and heading not in headings(file)):
            missing.append(f"{target}#{heading}")
    assert missing == []


def test_the_citation_has_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == project["version"]
    assert citation["preferred-citation"]["title"].startswith("There and Back Again")


def test_a_table_replaces_what_is_between_its_marks_and_nothing_else() -> None:
    document = "a\n<!-- one -->\nold\nolder\n<!-- /one -->\nb\n<!-- two -->\n<!-- /two -->\n"
    expected = "a\n<!-- one -->\n| \\1 |\n<!-- /one -->\nb\n<!-- two -->\n<!-- /two -->\n"
    assert replaced(document, "one", "| \\1 |") == expected


def test_a_table_without_marks_in_the_document_is_refused() -> None:
    with pytest.raises(ValueError, match="0 passages between the marks of 'three'"):
        replaced("<!-- one -->\n<!-- /one -->\n", "three", "text")


@pytest.mark.parametrize("name", ["benchmarks", "classes"])
def test_the_document_has_the_marks_of_every_table(name: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert replaced(text, name, "| new |").count("| new |") == 1
