"""The pages of the app. A page is `pages/<slug>.py`, or the folder `pages/<slug>/`, and one entry here."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES_FOLDER = ROOT / "pages"
ASSETS = ROOT / "assets"
THEME_FILE = ROOT / ".streamlit" / "config.toml"
PRODUCT = "NormGrad Studio"


@dataclass(frozen=True)
class PageEntry:
    """One page: `slug` is its address and the name of its file or folder, `lead` says what to do there.

    `tab` is its name in the navigation where the `title` is too long for that, `phone_tab` its name in a
    narrow window. `own_steps` says whether the page takes the meta steps itself: its scene is then without
    one, and it has the control of the step. `two_classes` says whether it compares two
    classes, so that the sidebar marks both.
    """

    slug: str
    title: str
    icon: str
    lead: str
    tab: str = ""
    phone_tab: str = ""
    own_steps: bool = False
    two_classes: bool = False

    @property
    def path(self) -> Path:
        """The page's script."""
        file = PAGES_FOLDER / f"{self.slug}.py"
        return file if file.exists() else PAGES_FOLDER / self.slug / "page.py"


PAGES = (
    PageEntry(
        slug="compare",
        title="Compare",
        icon=":material/compare:",
        lead="Two methods on one photo: move through the layers and see which one still finds the object.",
    ),
    PageEntry(
        slug="mix",
        title="Mix layers",
        icon=":material/tune:",
        lead="Weight the layers and watch both maps change: a product keeps what the layers agree on.",
    ),
    PageEntry(
        slug="framework",
        title="Framework",
        icon=":material/grid_on:",
        lead="One family: take each location’s share of a gradient, then reduce it to one number.",
    ),
    PageEntry(
        slug="why",
        title="Why Grad-CAM fails",
        icon=":material/trending_down:",
        lead="Averaging the gradient discards what differs between locations: see how much is left at each "
        "layer.",
        phone_tab="Why it fails",
    ),
    PageEntry(
        slug="classes",
        title="Class sensitivity",
        icon=":material/call_split:",
        lead="If the map stays the same when you change the class, it explains the photo, not the class.",
        tab="Classes",
        own_steps=True,
        two_classes=True,
    ),
    PageEntry(
        slug="evaluate",
        title="Evaluate",
        icon=":material/fact_check:",
        lead="Does the map point at the object, does the network need those pixels, does the map notice a "
        "broken network?",
    ),
)
HOME = PAGES[0]


def entry_at(path: str) -> PageEntry | None:
    """The page at an address's path, if there is one."""
    return next((entry for entry in PAGES if entry.slug == path), None)


def entry_of(path: str) -> PageEntry:
    """The page at an address's path; the first one for any other."""
    return entry_at(path) or HOME
