"""Libraries that only some runs need."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from tfllm.errors import UserError


def check_optional(library: str, *, extra: str, wanted_by: str) -> None:
    """Raises the error that importing it would raise, without the import.

    Raises:
        UserError: the library is not installed; says which extra brings it.
    """
    if importlib.util.find_spec(library) is None:
        raise UserError(
            f"{wanted_by} needs the library {library}, which is not installed. "
            f'Install it with: pip install "tfllm[{extra}]"'
        )


def import_optional(library: str, *, extra: str, wanted_by: str) -> ModuleType:
    """The module of a library that an extra of the package brings.

    Args:
        library: its name for `import`.
        extra: the extra in setup.cfg.
        wanted_by: the option or class that needs it.

    Raises:
        UserError: it is not installed.

    Example:
        >>> import_optional("json", extra="none", wanted_by="an example").dumps([1])
        '[1]'
    """
    check_optional(library, extra=extra, wanted_by=wanted_by)
    return importlib.import_module(library)
