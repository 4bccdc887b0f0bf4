"""The pages of the app. A page is one file in `pages/` and one entry here."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets"
PRODUCT = "NormGrad Studio"


@dataclass(frozen=True)
class PageEntry:
    """One page: `slug` is its address and its file's name, `title` its tab, `lead` says what to do there."""

    slug: str
    title: str
    icon: str
    lead: str

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
)
HOME = PAGES[0]
