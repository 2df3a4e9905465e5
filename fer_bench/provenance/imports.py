"""Read what code imports and which names it reads, without executing it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from fer_bench.provenance.modules import OWN

ALL = "*"
BLIND = {
    "exec": "executes text",
    "spec_from_file_location": "loads a module by the path of its file",
    "SourceFileLoader": "loads a module by the path of its file",
    "run_path": "executes a file",
    "hub.load": "loads code from a hub",
    "cpp_extension.load": "compiles other files",
    "get_data": "reads other files of a package",
}
"""Calls that bring in what no import names, by the end of the function's name."""
FILES = ("importlib.resources", "importlib_resources")


class Need(NamedTuple):
    """What is needed of a module.

    Attributes:
        module: The module, or `package.*` for all modules of a package.
        path: A name in it, perhaps with attributes (`nets.Block`), `*` for everything, or nothing where it is
            enough to import it.
    """

    module: str
    path: str


class Import(NamedTuple):
    """A name that an import binds.

    Attributes:
        bound: The name.
        module: Where it is from.
        name: What it is called there; empty if it is the module itself.
    """

    bound: str
    module: str
    name: str

    def need(self, attributes: str) -> Need:
        """Return what is needed if some attributes of the name are used, or the name itself if empty."""
        return Need(self.module, ".".join(filter(None, (self.name, attributes))) or ALL)


class Reader(ast.NodeVisitor):
    """Collect what code imports and reads, but for what only type checkers see.

    Args:
        name: Module of the code.
        package: Its package.
    """

    def __init__(self, name: str, package: str) -> None:
        self.name, self.package = name, package
        self.imports: list[Import] = []
        self.stars: list[str] = []
        self.blind: list[tuple[int, str]] = []
        self.uses: dict[str, set[str]] = defaultdict(set)
        self._more: list[Need] = []
        self._dotted: list[str] = []

    def needs(self) -> Iterator[Need]:
        """Yield what is needed: of modules that are bound to a name only the attributes that are read."""
        yield from self._more
        for each in self.imports:
            for attributes in sorted(self.uses.get(each.bound, {""})):
                yield each.need(attributes)
        for module in self._dotted:
            top = module.partition(".")[0]
            yield Need(module, "" if top in self.uses else ALL)
            for attributes in sorted(self.uses.get(top, ())):
                yield Need(top, attributes or ALL)

    def bindings(self) -> list[Import]:
        """Return what the imports bind."""
        tops = (module.partition(".")[0] for module in self._dotted)
        return [*self.imports, *(Import(top, top, "") for top in tops)]

    def loads(self) -> Iterator[str]:
        """Yield the modules that are loaded, and the names that are taken from them: these can be modules."""
        yield from (*self._dotted, *self.stars)
        for each in self.imports:
            yield each.module
            if each.name:
                yield f"{each.module}.{each.name}"

    def visit_If(self, node: ast.If) -> None:
        """Skip `if TYPE_CHECKING:`."""
        if is_type_checking(node.test):
            for each in node.orelse:
                self.visit(each)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Note modules."""
        for alias in node.names:
            top = alias.name.partition(".")[0]
            if alias.asname or alias.name == top:
                self.imports.append(Import(alias.asname or top, alias.name, ""))
            else:  # binds the name of the top-level package, which may be read or not
                self._dotted.append(alias.name)
            self._note_files(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Note names of modules."""
        base = self._absolute("." * node.level + (node.module or ""))
        self._note_files(node, base)
        for alias in node.names:
            if alias.name == ALL:
                self.stars.append(base)
                self._more.append(Need(base, ALL))
            else:
                self.imports.append(Import(alias.asname or alias.name, base, alias.name))
                self._note_files(node, f"{base}.{alias.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Note attributes that are read of a name."""
        chain, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            chain.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            self.uses[inner.id].add(".".join(reversed(chain)))
        else:
            self.visit(inner)

    def visit_Name(self, node: ast.Name) -> None:
        """Note a name that is read."""
        self.uses[node.id].add("")
        if node.id == "__file__":
            self.blind.append((node.lineno, "finds other files by its own path"))

    def visit_Call(self, node: ast.Call) -> None:
        """Note imports by name, and calls that bring in what cannot be seen."""
        self.generic_visit(node)
        called = ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""
        if called.rpartition(".")[2] in ("import_module", "__import__"):
            self._note_named(node)
        for end, what in BLIND.items():
            if called == end or (called.endswith(f".{end}") and end != "exec"):
                self.blind.append((node.lineno, f"{called} {what}"))

    def _note_named(self, call: ast.Call) -> None:
        """Note a module that is imported by its name, or all that can be meant by a name that is computed."""
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        text, is_whole = self._text(arguments[0]) if arguments else ("", False)
        if is_whole:
            self._more.append(Need(self._absolute(text), ALL))
        elif self.name.partition(".")[0] != OWN:  # what this package loads by name is in keys by other fields
            known = self._absolute(text.rpartition(".")[0] or text[:1])
            package = known or self.name.partition(".")[0]
            self._more.append(Need(f"{package}.{ALL}", ""))

    def _absolute(self, name: str) -> str:
        """Return the full name of a module that is named as `.nets` or `..nets` here."""
        level = len(name) - len(name.lstrip("."))
        parts = self.package.split(".")
        above = parts[: len(parts) - level + 1] if level else []
        return ".".join([*above, *filter(None, [name.lstrip(".")])])

    def _text(self, node: ast.expr) -> tuple[str, bool]:
        """Return how a text begins, and whether that is all of it."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value, True
        if isinstance(node, ast.Name) and node.id in ("__name__", "__package__"):
            return (self.name if node.id == "__name__" else self.package), True
        parts: list[ast.expr] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            parts = [node.left, node.right]
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.FormattedValue) else part for part in node.values]
        found = ""
        for part in parts:
            text, is_whole = self._text(part)
            found += text
            if not is_whole:
                return found, False
        return found, bool(parts)

    def _note_files(self, node: ast.stmt, module: str) -> None:
        if module in FILES:
            self.blind.append((node.lineno, f"{module} reads other files of a package"))


def is_type_checking(test: ast.expr) -> bool:
    """Return whether a condition is `TYPE_CHECKING`."""
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
