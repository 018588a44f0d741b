"""Makes every unpickling in this process a violation, but for what DESIGN allows. To be installed before other imports.

Allowed are `torch.load(weights_only=True)` in Gingham's one function, and traffic between own processes. Everything
else is recorded and raises: Python's audit event for a class or function that a pickle names, the functions of `pickle`
itself (plain containers raise no event), and `torch.load`. NumPy's and the libraries' readers end in these.
"""

import pickle
import sys
from types import FrameType
from typing import Any

violations: list[str] = []
allowed_loads: list[str] = []

_OWN_PROCESSES = ("multiprocessing.", "torch.multiprocessing", "torch.distributed", "concurrent.futures.process")


def install() -> None:
    """Guard `pickle` now."""
    sys.addaudithook(_audit)
    for name in ("load", "loads", "_load", "_loads"):
        setattr(pickle, name, _guarded(getattr(pickle, name), f"pickle.{name}"))

    class Guarded(pickle.Unpickler):
        def load(self) -> Any:
            _refuse("pickle.Unpickler.load")
            return super().load()

    pickle.Unpickler = Guarded  # type: ignore[misc]


def install_torch() -> None:
    """Guard `torch.load` too; separate, as it imports torch."""
    import torch

    real = torch.load

    def load(*arguments: Any, **options: Any) -> Any:
        caller = sys._getframe(1)
        place = f"{caller.f_globals['__name__']}.{caller.f_code.co_name}"
        if place == "gingham.models.tensors._read_torch" and options.get("weights_only") is True:
            allowed_loads.append(str(arguments[0]))
            return real(*arguments, **options)
        return _violation(f"torch.load in {place}")

    torch.load = torch.serialization.load = load


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "pickle.find_class":
        _refuse(f"{event} {arguments}")


def _guarded(function: Any, name: str) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        _refuse(name)
        return function(*arguments, **options)

    return call


def _refuse(what: str) -> None:
    frame: FrameType | None = sys._getframe(2)
    modules = []
    while frame is not None:
        modules.append(str(frame.f_globals.get("__name__", "")))
        frame = frame.f_back
    if not any(module.startswith(_OWN_PROCESSES) for module in modules):
        _violation(f"{what} in {modules[0]}, called by {modules[1:4]}")


def _violation(text: str) -> None:
    # Recorded as well as raised: somebody may catch what is raised.
    violations.append(text)
    raise AssertionError(text)
