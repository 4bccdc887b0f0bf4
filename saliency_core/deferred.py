"""Imports that wait until they are needed: what only describes a computation needs no PyTorch.

A web process shows explanations that other machines have computed. So modules that hold data (requests,
results, the registry of methods) do not import the modules that compute; they name their functions with
:func:`deferred`, and give type checkers the real module:

    if TYPE_CHECKING:
        from saliency_core.methods import cams
    else:
        cams = deferred("saliency_core.methods.cams")

    SharedPass(cams.grad_cam)  # imported when it is first called
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class DeferredFunction:
    """A function, or a class to be called, whose module is imported when it is first called."""

    module: str
    name: str

    @cached_property
    def function(self) -> Any:
        """The function itself."""
        return getattr(import_module(self.module), self.name)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the function gives."""
        return self.function(*args, **named)


@dataclass(frozen=True)
class DeferredModule:
    """A module of which only functions are asked for; each is a :class:`DeferredFunction`."""

    module: str

    def __getattr__(self, name: str) -> DeferredFunction:
        if name.startswith("__"):  # what pickle and copy ask for; no module of ours has such functions
            raise AttributeError(name)
        found = self.__dict__[name] = DeferredFunction(self.module, name)
        return found


def deferred(module: str) -> Any:
    """A module that is imported when one of its functions is first called.

    >>> deferred("math").sqrt(4)
    2.0
    """
    return DeferredModule(module)


class LazyPackage(ModuleType):
    """A package whose public names are imported when they are first used.

    The names and their modules are those that the stub beside the package, ``__init__.pyi``, imports. A
    submodule that has the name of a public function stays importable and does not replace the function.
    """

    _sources: Mapping[str, tuple[str, str]]
    """Public name -> its module and its name there."""

    def __getattr__(self, name: str) -> Any:
        if name not in self._sources:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module, original = self._sources[name]
        # `from package import module` names the module itself.
        value = import_module(f"{module}.{original}") if module == self.__name__ else None
        value = getattr(import_module(module), original) if value is None else value
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        # What the import system does after every import of a submodule.
        module, _ = self._sources.get(name, (self.__name__, ""))
        if (
            isinstance(value, ModuleType)
            and module != self.__name__
            and value.__name__ == f"{self.__name__}.{name}"
        ):
            return
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._sources})


def import_lazily(package: ModuleType) -> list[str]:
    """Make a package import its public names when they are used; gives these names, for ``__all__``."""
    stub = ast.parse(Path(str(package.__file__)).with_suffix(".pyi").read_text(encoding="utf-8"))
    package._sources = {  # type: ignore[attr-defined]
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    package.__class__ = LazyPackage
    return sorted(package._sources)
