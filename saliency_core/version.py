"""The name and version of this software, as files that it writes say them."""

VERSION = "0.1.0"
"""That of the package, as in ``pyproject.toml``."""

SOFTWARE = f"NormGrad Studio {VERSION}"
