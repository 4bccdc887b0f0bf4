"""The app below a path, and the files that deploy it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from pages.shared import server
from pages.shared.registry import HOME, PAGES

ROOT = Path(__file__).parents[1]
BASE = "/studio"


@pytest.fixture
def client() -> Iterator[TestClient]:
    """What the project adds to Streamlit, served below a path."""
    before = st.get_option("server.baseUrlPath")
    st.config.set_option("server.baseUrlPath", BASE.strip("/"))
    try:
        app = Starlette(routes=server.routes(), middleware=server.middleware())
        yield TestClient(app, follow_redirects=False)
    finally:
        st.config.set_option("server.baseUrlPath", before)


def test_below_a_path_every_page_and_every_other_address_is_there_and_nowhere_else(
    client: TestClient,
) -> None:
    pages = [f"/{entry.slug}" for entry in PAGES]
    others = ["/assets/connection.js", "/assets/icon.svg", "/assets/fonts/inter-latin-wght-normal.woff2"]
    for path in (*pages, *others):
        assert client.get(BASE + path).status_code == 200, path
        assert client.get(path).status_code == 404, path
    assert client.get(f"{BASE}/?photo=cat").headers["location"] == f"./{HOME.slug}?photo=cat"
    assert client.get(f"{BASE}/share/list").status_code == 403  # it asks for a session
    assert client.get(f"{BASE}/_stcore/metrics").status_code == 404


def test_the_image_gets_the_uv_that_the_set_up_pins_and_every_file_that_it_copies_is_there() -> None:
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    pinned = re.search(r"^uv=(.+)$", (ROOT / ".ci" / "setup").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None
    assert f"uv=={pinned[1]}" in image
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    kept = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert [name for name in kept if not (ROOT / name).exists()] == []
    copied = [name for line in re.findall(r"^COPY (.+) \./$", image, re.MULTILINE) for name in line.split()]
    assert set(copied) <= set(kept)


def test_every_variable_of_the_app_that_a_deployment_file_sets_is_read_by_the_app() -> None:
    files = ("Dockerfile", "compose.yaml", "deploy/normgrad-studio.service", "docs/deploy.md")
    named = {
        name for file in files for name in re.findall(r"SALIENCY_[A-Z_]+", (ROOT / file).read_text("utf-8"))
    }
    code = "".join(
        file.read_text("utf-8")
        for folder in ("pages", "saliency_core")
        for file in (ROOT / folder).rglob("*.py")
    )
    assert named
    assert [name for name in sorted(named) if f'"{name}"' not in code] == []
