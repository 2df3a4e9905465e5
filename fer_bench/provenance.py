"""Hashes of source code: which code decided a result, wherever its files lie.

A run key, a kept index and a stored score each hold a hash of the code that can change them. It covers a
*closure*: some root modules and every module of their package or of this one that these import, directly or
through others, except those declared not to matter. Only what the code does counts. Docstrings, comments,
layout, import statements and file names are left out, so that moving a module changes no hash, and a new
helper module cannot escape one.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from fer_bench.errors import DataError


def package_folder() -> Path:
    """Return the folder of this package."""
    return Path(__file__).parent


def code_hash(roots: Iterable[str], *, without: Iterable[str] = ()) -> str:
    """Return a hash of what a closure of modules does: 16 hexadecimal digits.

    Args:
        roots: Modules to start from.
        without: Modules that do not count and are not followed, see `closure`.

    Raises:
        DataError: A root module that does not exist, or a source file that cannot be read.
    """
    files = closure(roots, without=without)
    digests = sorted(_meaning(file, file.stat().st_mtime_ns) for file in files.values())
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def closure(roots: Iterable[str], *, without: Iterable[str] = ()) -> dict[str, Path]:
    """Return the source file of every module that the roots need, by module name.

    Imports are read from the source, those inside functions included; nothing is executed. Only modules of a
    root's top-level package and of this one count, and imports for type checking alone do not.

    Args:
        roots: Modules to start from.
        without: Modules that do not count and are not followed: `a.b` is that module alone, `a.b.*` the
            package with all its modules.

    Raises:
        DataError: A root module that does not exist, or a source file that cannot be read.
    """
    excluded = tuple(without)
    found: dict[str, Path] = {}
    waiting = list(roots)
    for root in waiting:
        if _file_of(root) is None:
            raise DataError("the module does not exist", value=root)
    while waiting:
        name = waiting.pop()
        if name in found or _is_excluded(name, excluded):
            continue
        file = _file_of(name)
        if file is None:
            continue
        found[name] = file
        waiting += _imports(file, name, file.stat().st_mtime_ns)
    return dict(sorted(found.items()))


def _is_excluded(name: str, excluded: Iterable[str]) -> bool:
    return any(
        name == pattern or (pattern.endswith(".*") and f"{name}.".startswith(pattern[:-1]))
        for pattern in excluded
    )


@cache
def _top_folder(package: str) -> Path | None:
    """Return the folder that holds a top-level package or module, None when it is not Python source."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    file = Path(spec.origin)
    return file.parents[1] if file.name == "__init__.py" else file.parent


def _file_of(name: str) -> Path | None:
    """Return the source file of a module, None when there is none."""
    top = _top_folder(name.partition(".")[0])
    if top is None:
        return None
    stem = top.joinpath(*name.split("."))
    places = (stem.with_name(f"{stem.name}.py"), stem / "__init__.py")
    return next((file for file in places if file.is_file()), None)


@cache
def _imports(file: Path, name: str, _written: int) -> tuple[str, ...]:
    """Return the modules that a module imports from its own top-level package and from this one."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    tops = {name.partition(".")[0], __package__}
    found: dict[str, None] = {}
    for node in _walk(_parse(file)):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
                base = f"{parent}.{base}".rstrip(".")
            # `from a import b` needs the module a.b where that is one, else what the package a defines.
            wanted = [
                f"{base}.{alias.name}" if _file_of(f"{base}.{alias.name}") is not None else base
                for alias in node.names
            ]
        else:
            continue
        found |= dict.fromkeys(module for module in wanted if module.partition(".")[0] in tops)
    return tuple(found)


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those under `if TYPE_CHECKING:`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += node.orelse
            continue
        yield node
        waiting += list(ast.iter_child_nodes(node))


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise DataError(f"a source file cannot be read: {error}", file=file) from None


@cache
def _meaning(file: Path, _written: int) -> str:
    """Return a hash of what a source file does: of its statements and of which names it takes from others."""
    stripped = _Stripped()
    statements = ast.dump(stripped.visit(_parse(file)))
    return hashlib.sha256(f"{sorted(stripped.taken)}\n{statements}".encode()).hexdigest()


class _Stripped(ast.NodeTransformer):
    """Take away import statements, docstrings and what is for type checking alone.

    Attributes:
        taken: Names that the module takes from others and what it calls them. Where from is left out: `from a
            import f` and, after a move, `from b import f` are the same, another function is not.
    """

    def __init__(self) -> None:
        self.taken: set[tuple[str, str]] = set()

    def visit_Import(self, node: ast.Import) -> None:
        """Drop it."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Drop it and keep the names."""
        if node.module != "__future__":
            self.taken |= {(alias.name, alias.asname or alias.name) for alias in node.names}

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Keep only the `else` of `if TYPE_CHECKING:`."""
        if _is_type_checking(node.test):
            return [found for one in node.orelse if (found := self.visit(one)) is not None]
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Drop documentation."""
        # A string on its own is documentation of a module, class, function or constant.
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)
