"""The pages of the app. A page is one file in `pages/` and one entry here."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets"
PRODUCT = "NormGrad Studio"


@dataclass(frozen=True)
class PageEntry:
    """One page: `slug` is its address and its file's name, `lead` says what to do there.

    `tab` is its name in the navigation where the `title` is too long for that; `steps` tells whether its maps
    can be taken after a meta step.
    """

    slug: str
    title: str
    icon: str
    lead: str
    tab: str = ""
    steps: bool = True

    @property
    def path(self) -> Path:
        """The page's script."""
        return ROOT / "pages" / f"{self.slug}.py"


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
        lead="Weigh the layers and watch both maps follow: early ones are sharp, late ones know the class.",
    ),
    PageEntry(
        slug="framework",
        title="Framework",
        icon=":material/grid_on:",
        lead="One family: extract each place’s share of a gradient, aggregate it to one number.",
    ),
    PageEntry(
        slug="why",
        title="Why Grad-CAM fails",
        icon=":material/trending_down:",
        lead="Averaging the gradient throws most of it away before the last layer: see it on your photo.",
        tab="Why it fails",
        steps=False,
    ),
    PageEntry(
        slug="classes",
        title="Class sensitivity",
        icon=":material/call_split:",
        lead="Ask for two classes: a map that stays the same explains the photo, not the class.",
        tab="Classes",
    ),
)
HOME = PAGES[0]


def entry_of(path: str) -> PageEntry:
    """The page at an address's path; the first one for any other."""
    return next((entry for entry in PAGES if entry.slug == path), HOME)
