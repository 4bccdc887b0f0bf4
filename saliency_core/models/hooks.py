"""The only place with hooks: one forward hook per tapped module, silent unless a recording is active.

The hooks are attached once. They write into the recording that is active in the current context
(:mod:`contextvars`), so threads that share one network never see each other's tensors, and nothing
has to be removed afterwards, also when a call raised.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar

from torch import Tensor, nn

Visit = Callable[[str, object], Tensor | None]
"""Called with a module's name and its output; a returned tensor takes the output's place."""


class Taps:
    """Taps on the modules of a network, and of others with the same names.

    ``visit`` is called in the order in which the modules finish, within the ``with`` block and the
    context that opened it only.
    """

    def __init__(self) -> None:
        self._visit: ContextVar[Visit | None] = ContextVar("visit", default=None)

    def attach(self, network: nn.Module, names: Iterable[str]) -> None:
        """Tap the modules with these names."""
        for name in names:
            network.get_submodule(name).register_forward_hook(self._hook(name))

    def _hook(self, name: str) -> Callable[[nn.Module, object, object], Tensor | None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor | None:
            visit = self._visit.get()
            return None if visit is None else visit(name, output)

        return hook

    @contextlib.contextmanager
    def recording(self, visit: Visit) -> Iterator[None]:
        """Call ``visit`` for every module that runs inside the block."""
        token = self._visit.set(visit)
        try:
            yield
        finally:
            self._visit.reset(token)
