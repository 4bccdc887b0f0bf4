"""The web modules joined to one script, and their styles to one sheet, for hosts that take one of each.

A module `x.js` may have a sheet `x.css` beside it. Sheets are joined in the order of their modules, after
`theme.css`, which holds the palette and the resets: what a component adds to its parts comes after them.
"""

from __future__ import annotations

import functools
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

WEB = Path(__file__).parent / "web"
THEME = "theme.css"

_IMPORT = re.compile(
    r'^import\s+\{(?P<names>[^}]*)\}\s+from\s+"(?P<module>\.{1,2}/[\w./-]+\.js)";\n', re.MULTILINE
)
_EXPORT = re.compile(r"^export (?!default\b)", re.MULTILINE)
_DECLARATION = re.compile(
    r"^(?:export )?(?:default )?(?:async )?(?:function\*?|class|const|let|var) +(\w+)", re.MULTILINE
)


@dataclass(frozen=True)
class Bundle:
    """What a host gives to the browser."""

    script: str
    style: str


@functools.cache
def bundle(entry: str) -> Bundle:
    """The module `entry` of ``web/`` with all that it imports; read once."""
    modules = join(WEB, entry)
    sheets = [THEME, *(module.removesuffix(".js") + ".css" for module in modules)]
    present = [WEB / sheet for sheet in sheets if (WEB / sheet).is_file()]
    return Bundle(
        "\n".join(modules.values()), "\n".join(sheet.read_text(encoding="utf-8") for sheet in present)
    )


def join(folder: Path, entry: str) -> dict[str, str]:
    """Module -> its text, for `entry` and all that it imports, in the order of their dependencies.

    The texts have neither import lines nor `export` keywords (the entry keeps its `export default`), so that
    together they are one script. Modules import names as they are, by relative paths:
    ``import { a, b } from "../core/x.js";``.

    Raises:
        FileNotFoundError: a module that does not exist.
        ValueError: a circular import, an import that is written otherwise or asks for a name its module does
            not declare, or a name that two modules declare.
    """
    joined = _Joined(folder)
    joined.add(entry, ())
    return joined.texts


@dataclass
class _Joined:
    folder: Path
    texts: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """Top-level name -> the module that declares it."""

    def add(self, module: str, path: tuple[str, ...]) -> None:
        """Add a module after those that it imports; `path` is the chain of modules that asked for it."""
        if module in path:
            raise ValueError(f"modules import each other in a circle: {' -> '.join([*path, module])}")
        if module in self.texts:
            return
        text = (self.folder / module).read_text(encoding="utf-8")
        for match in _IMPORT.finditer(text):
            source = posixpath.normpath(posixpath.join(posixpath.dirname(module), match["module"]))
            self.add(source, (*path, module))
            for name in filter(None, (name.strip() for name in match["names"].split(","))):
                if self.owners.get(name) != source:
                    raise ValueError(f"{module} imports {name!r}, which {source} does not declare")
        body = _IMPORT.sub("", text)
        if re.search(r"^import\b", body, re.MULTILINE):
            raise ValueError(
                f'{module} has an import that is not of the form `import {{ a }} from "./x.js";`'
            )
        for name in _DECLARATION.findall(body):
            if name in self.owners:
                raise ValueError(
                    f"{name!r} is declared in {self.owners[name]} and again in {module}; joined, they clash"
                )
            self.owners[name] = module
        self.texts[module] = _EXPORT.sub("", body)
