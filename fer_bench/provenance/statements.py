"""Read what a module's statements do, bind and import, without executing them."""

from __future__ import annotations

import ast
import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from pathlib import Path

from fer_bench.errors import DataError
from fer_bench.provenance.imports import Import, Need, Reader, is_type_checking

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Effect(IntEnum):
    """Whether a top-level statement does more than define names, as far as can be seen."""

    NONE = 0
    POSSIBLE = 1  # it defines a name by calling something
    CERTAIN = 2


@dataclass(frozen=True)
class Unit:
    """A top-level statement, without top-level imports.

    Attributes:
        binds: Names that it defines.
        uses: Names that it reads, each with a path of attributes that is read of it, or an empty one.
        needs: What is imported within it, in a function for example.
        effect: Whether it does more than define names.
        digest: Hash of what it does.
    """

    binds: frozenset[str]
    uses: tuple[tuple[str, str], ...]
    needs: tuple[Need, ...]
    effect: Effect
    digest: str


@dataclass(frozen=True)
class Whole:
    """A source file as a whole.

    Attributes:
        digest: Hash of what it does.
        needs: What it imports.
        blind: What it brings in without an import: line and description.
    """

    digest: str
    needs: tuple[Need, ...] = ()
    blind: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Parts:
    """A source file by its statements.

    Attributes:
        units: The top-level statements but for imports and what does nothing.
        imports: What the top-level imports bind, by name.
        loads: Modules that are loaded with it; names in them are among these.
        stars: Modules of which it imports everything.
    """

    units: tuple[Unit, ...] = ()
    imports: Mapping[str, tuple[Import, ...]] = field(default_factory=dict)
    loads: tuple[str, ...] = ()
    stars: tuple[str, ...] = ()

    def binds(self, name: str) -> bool:
        """Return whether a top-level statement or import defines a name."""
        return name in self.imports or any(name in unit.binds for unit in self.units)


@cache
def read_whole(file: Path, name: str, _written: int) -> Whole:
    """Return what a module is as a whole. A file that is not Python source is only hashed.

    Args:
        file: Its file.
        name: Its name.
        _written: When the file was written: another version of it is read anew.

    Raises:
        DataError: The file cannot be read.
    """
    content = _content(file)
    if file.suffix != ".py":
        return Whole(hashlib.sha256(content).hexdigest())
    tree = _parse(content, file)
    reader = Reader(name, _package_of(file, name))
    reader.visit(tree)
    return Whole(_digest(tree), tuple(reader.needs()), tuple(reader.blind))


@cache
def read_parts(file: Path, name: str, _written: int) -> Parts:
    """Return the statements of a module; none of a file that is not Python source.

    Args:
        file: Its file.
        name: Its name.
        _written: When the file was written: another version of it is read anew.

    Raises:
        DataError: The file cannot be read.
    """
    if file.suffix != ".py":
        return Parts()
    tree, package = _parse(_content(file), file), _package_of(file, name)
    taken, reader = _ImportsTaken(), Reader(name, package)
    taken.visit(tree)
    for statement in taken.statements:
        reader.visit(statement)
    imports: dict[str, tuple[Import, ...]] = defaultdict(tuple)
    for each in reader.bindings():
        imports[each.bound] += (each,)
    units = tuple(_unit(node, name, package) for node in tree.body if not _is_idle(node))
    return Parts(units, dict(imports), tuple(reader.loads()), tuple(reader.stars))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"a source file cannot be read: {error}", file=file) from None


def _parse(content: bytes, file: Path) -> ast.Module:
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError) as error:
        raise DataError(f"a source file cannot be read: {error}", file=file) from None


def _package_of(file: Path, name: str) -> str:
    return name if file.name == "__init__.py" else name.rpartition(".")[0]


class _ImportsTaken(ast.NodeTransformer):
    """Take the top-level imports out of a module, and what is for type checking alone.

    Attributes:
        statements: The imports.
    """

    def __init__(self) -> None:
        self.statements: list[ast.stmt] = []

    def visit_Import(self, node: ast.Import) -> None:
        """Take it."""
        self.statements.append(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Take it."""
        self.statements.append(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Keep only the `else` of `if TYPE_CHECKING:`."""
        return _if_without_types(self, node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Keep what is imported when it is called."""
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Keep what is imported when it is called."""
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Keep what its methods import."""
        return node


def _unit(node: ast.stmt, name: str, package: str) -> Unit:
    """Return what is to be known of a top-level statement without top-level imports; changes the node."""
    reader = Reader(name, package)
    reader.visit(node)
    names = [node.name] if isinstance(node, (*FUNCTIONS, ast.ClassDef)) else _stored(node)
    uses = tuple(sorted((used, path) for used, paths in reader.uses.items() for path in paths))
    effect = _effect_of(node)
    return Unit(frozenset(names), uses, tuple(reader.needs()), effect, _digest(ast.Module([node], [])))


def _stored(node: ast.AST) -> list[str]:
    return [
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]


def _is_idle(node: ast.stmt) -> bool:
    """Return whether a statement does nothing on import: documentation, `__all__`, `if __name__ == ...`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
        return True
    if isinstance(node, ast.Delete):
        return all(isinstance(target, ast.Name) for target in node.targets)
    named = isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and _stored(node) == ["__all__"]
    return named or isinstance(node, ast.Pass | ast.Global)


def _effect_of(node: ast.stmt) -> Effect:
    if isinstance(node, FUNCTIONS):
        return Effect(bool(node.decorator_list) or _calls(node.args))
    if isinstance(node, ast.ClassDef):
        return Effect(bool(node.decorator_list or node.keywords))
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named = all(isinstance(each, ast.Name | ast.Tuple) for each in targets)
        return Effect(_calls(node)) if named else Effect.CERTAIN
    if isinstance(node, ast.If | ast.Try):
        parts = [*node.body, *node.orelse]
        if isinstance(node, ast.Try):
            parts += [*node.finalbody, *(each for handler in node.handlers for each in handler.body)]
        inner = [_effect_of(each) for each in parts if not _is_idle(each)]
        return max(inner, default=Effect.NONE) if inner else Effect.POSSIBLE
    return Effect.CERTAIN


def _calls(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Call | ast.Await | ast.NamedExpr) for each in ast.walk(node))


def _if_without_types(transformer: ast.NodeTransformer, node: ast.If) -> ast.AST | list[ast.stmt]:
    if is_type_checking(node.test):
        return [found for one in node.orelse if (found := transformer.visit(one)) is not None]
    return transformer.generic_visit(node)


def _digest(tree: ast.AST) -> str:
    """Return a hash of what code does: of its statements and of which names it takes from others."""
    stripped = _Stripped()
    statements = ast.dump(stripped.visit(tree))
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
        return _if_without_types(self, node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Drop documentation."""
        # A string on its own is documentation of a module, class, function or constant.
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)
