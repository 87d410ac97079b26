"""The library: the public names of ``lab`` with their types and docstrings, read from the source."""

from __future__ import annotations

from collections.abc import Iterator

import griffe

import lab
from website import markdown

#: The types that the public names are made of.
_PARTS = ("lab.running.scaling.Row", "lab.running.scaling.Cause", "lab.cell.claims.estimates.Estimate")


def pages() -> dict[str, str]:
    """Return the page of the library."""
    loader = griffe.GriffeLoader(extensions=griffe.load_extensions("griffe_sphinx"))
    package = loader.load("lab")
    loader.resolve_aliases()
    public = [name for name in sorted(lab.__all__) if not name.startswith("_")]
    objects = {name: package[name].final_target for name in public}
    objects |= {path.rpartition(".")[2]: package[path.partition(".")[2]] for path in _PARTS}
    parts = [part for name, described in objects.items() for part in _described(name, described)]
    return {"reference/library.md": markdown.page("# The library", _words(package), *parts)}


def _described(name: str, described: griffe.Object) -> Iterator[str]:
    """The heading, the signature, the docstring and the members of a function or a class."""
    is_public = name in lab.__all__
    yield f"## {'lab.' if is_public else ''}{name}"
    if isinstance(described, griffe.Function):
        yield markdown.fenced(_signature(described), "python")
    yield _words(described)
    members = [member for member in described.members.values() if not member.name.startswith("_")]
    if isinstance(described, griffe.Class):
        yield markdown.table(["attribute", "type", "means"], [_member(member) for member in members])


def _signature(function: griffe.Function) -> str:
    """The signature, a parameter on each line."""
    lines = []
    for parameter in function.parameters:
        if parameter.kind is griffe.ParameterKind.keyword_only and "    *," not in lines:
            lines.append("    *,")
        annotation = f": {parameter.annotation}" if parameter.annotation else ""
        default = f" = {parameter.default}" if parameter.default is not None else ""
        lines.append(f"    {parameter.name}{annotation}{default},")
    return "\n".join([f"def {function.name}(", *lines, f") -> {function.returns}"])


def _member(member: griffe.Object | griffe.Alias) -> list[str]:
    name = f"{member.name}()" if isinstance(member, griffe.Function) else member.name
    kind = member.returns if isinstance(member, griffe.Function) else getattr(member, "annotation", "")
    return [markdown.code(name), markdown.code(str(kind)), " ".join(_words(member).split())]


def _words(described: griffe.Object | griffe.Alias) -> str:
    """Return a docstring, or nothing. Words between two backticks are code in Markdown, too."""
    return described.docstring.value if described.docstring else ""
