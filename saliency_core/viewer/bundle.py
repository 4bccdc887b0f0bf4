"""The web modules joined to one script, and their styles to one sheet, for hosts that take one of each.

A module `x.js` may have a sheet `x.css` beside it. Sheets are joined in the order of their modules, after
`theme.css`, which holds the palette and the resets: what a component adds to its parts comes after them.
"""

from __future__ import annotations

import base64
import functools
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

WEB = Path(__file__).parent / "web"
FONTS = WEB / "fonts"
THEME = "theme.css"

_IMPORT = re.compile(
    r'^import\s+\{(?P<names>[^}]*)\}\s+from\s+"(?P<module>\.{1,2}/[\w./-]+\.js)";\n', re.MULTILINE
)
_EXPORT = re.compile(
    r"^export (?P<declaration>(?:async )?(?:function\*?|class|const|let) +(?P<name>\w+))", re.MULTILINE
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
    style = "\n".join(sheet.read_text(encoding="utf-8") for sheet in present)
    return Bundle("\n".join(modules.values()), style)


def join(folder: Path, entry: str) -> dict[str, str]:
    """Module -> its text, for `entry` and all that it imports, in the order of their dependencies.

    Together the texts are one script: each module is a function's body that returns what the module exports,
    so that no name can clash with another module's. The entry keeps its `export default`. Modules export
    declarations, and import their names as they are: ``import { a, b } from "../core/x.js";``.

    Raises:
        FileNotFoundError: a module that does not exist.
        ValueError: a circular import, an import or export of another form, or an import of a name
            that its module does not export.
    """
    joined = _Joined(folder)
    joined.add(entry, ())
    return joined.texts


@functools.cache
def font_face() -> str:
    """The rule of a style sheet that has the font in itself."""
    data = base64.b64encode((FONTS / "inter-latin-wght-normal.woff2").read_bytes()).decode("ascii")
    source = f'url("data:font/woff2;base64,{data}") format("woff2")'
    return f'@font-face {{ font-family: "Inter"; font-weight: 100 900; src: {source}; }}\n'


@dataclass
class _Joined:
    folder: Path
    texts: dict[str, str] = field(default_factory=dict)
    exports: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add(self, module: str, path: tuple[str, ...]) -> None:
        """Add a module after those that it imports; `path` is the chain of modules that asked for it."""
        if module in path:
            raise ValueError(f"modules import each other in a circle: {' -> '.join([*path, module])}")
        if module in self.texts:
            return
        text = (self.folder / module).read_text(encoding="utf-8")
        imports = []
        for match in _IMPORT.finditer(text):
            source = posixpath.normpath(posixpath.join(posixpath.dirname(module), match["module"]))
            self.add(source, (*path, module))
            names = [name.strip() for name in match["names"].split(",")]
            for name in names:
                if name not in self.exports[source]:
                    raise ValueError(f"{module} imports {name!r}, which {source} does not export")
            imports.append(f"const {{ {', '.join(names)} }} = {self._variable(source)};")
        exported = tuple(match["name"] for match in _EXPORT.finditer(text))
        body = _EXPORT.sub(r"\g<declaration>", _IMPORT.sub("", text))
        if re.search(r"^import\b", body, re.MULTILINE):
            raise ValueError(
                f'{module} has an import that is not of the form `import {{ a }} from "./x.js";`'
            )
        if re.search(r"^export\b(?! default\b)", body, re.MULTILINE):
            raise ValueError(f"{module} exports something else than a declaration")
        self.exports[module] = exported
        self.texts[module] = "\n".join([*imports, body])
        if path:
            returned = f"return {{ {', '.join(exported)} }};"
            self.texts[module] = "\n".join(
                [f"const {self._variable(module)} = (() => {{", self.texts[module], returned, "})();"]
            )

    @staticmethod
    def _variable(module: str) -> str:
        return "module_" + re.sub(r"\W", "_", module.removesuffix(".js"))
