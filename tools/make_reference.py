"""Makes docs/reference/python.md from the client's docstrings: `python -m tools.make_reference`.

A test compares the page with what this makes.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

import fastpix
from fastpix import errors, types

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "python.md"
LINE_MAX = 100  # of a signature, before it gets a line per parameter

HEAD = """# The Python client

Made from the docstrings by `python -m tools.make_reference`. [The guide](../guide/python.md) shows how it is used.

`AsyncFastPix` has the same groups and methods: `await` them, read lists with `async for`, and close it with `aclose()`.
Every argument is passed by name, but the file of `uploads.upload`. None is the same as not passing it.
"""


def page() -> str:
    parts = [HEAD, "## The clients\n", *_class(fastpix.FastPix, "FastPix", with_init=True)]
    parts.append("## Lists\n")
    parts += [*_class(fastpix.Pages, "Pages"), *_class(fastpix.Page, "Page")]
    parts.append("## Operations\n")
    with fastpix.FastPix(username="u", password="p") as client:  # noqa: S106
        for name, group in vars(client).items():
            if type(group).__name__.endswith("Operations"):
                parts += _group(group, f"client.{name}")
    parts.append("## Without a request\n")
    for function in (
        fastpix.sign_playback_token,
        fastpix.playback_url,
        fastpix.thumbnail_url,
        fastpix.verify_webhook,
    ):
        parts += _function(function, f"fastpix.{function.__name__}", "###")
    parts.append("## Options and results\n")
    for value in (fastpix.Retries, fastpix.Progress, fastpix.Uploaded, fastpix.RawAnswer):
        parts += _class(value, value.__name__)
    parts += ["## Errors\n", *_errors(), "## Shapes\n", *_shapes()]
    return "\n".join(parts).rstrip() + "\n"


def _group(group: Any, name: str) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield _text(type(group)) + "\n"
    nested = []
    for attribute in [*vars(type(group)), *vars(group)]:
        if attribute.startswith("_"):
            continue
        value = getattr(group, attribute)
        if inspect.ismethod(value):
            yield from _function(value, f"{name}.{attribute}", "####")
        elif type(value).__name__.endswith("Operations"):
            nested.append((value, f"{name}.{attribute}"))
    for value, path in nested:
        yield from _group(value, path)


def _class(kind: type, name: str, *, with_init: bool = False) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield _text(kind) + "\n"
    if with_init:
        yield _signature(kind.__init__, name, skip_result=True)
        yield _text(kind.__init__) + "\n"
    if dataclasses.is_dataclass(kind):
        yield from _fields((f.name, f.type, _default(f)) for f in dataclasses.fields(kind))
    for attribute, value in vars(kind).items():
        if attribute.startswith("_"):
            continue
        if inspect.isfunction(value) and inspect.getdoc(value):
            yield from _function(value, attribute, "####")
        elif isinstance(value, property) and inspect.getdoc(value):
            yield f"- `.{attribute}`: {inspect.getdoc(value)}\n"


def _function(function: Any, name: str, level: str) -> Iterator[str]:
    yield f"{level} `{name}`\n"
    yield _signature(function, name.rsplit(".", 1)[-1])
    yield _text(function) + "\n"


def _signature(function: Any, name: str, *, skip_result: bool = False) -> str:
    signature = inspect.signature(function)
    parameters = [_parameter(p) for p in signature.parameters.values() if p.name != "self"]
    starred = [p.kind for p in signature.parameters.values() if p.name != "self"]
    if inspect.Parameter.KEYWORD_ONLY in starred:
        parameters.insert(starred.index(inspect.Parameter.KEYWORD_ONLY), "*")
    result = "" if skip_result else f" -> {signature.return_annotation}"
    line = f"{name}({', '.join(parameters)}){result}"
    if len(line) > LINE_MAX:
        line = f"{name}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f"){result}"
    return f"```python\n{line}\n```\n"


def _parameter(parameter: inspect.Parameter) -> str:
    """As it stands in the source: annotations are texts there."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    default = "" if parameter.default is inspect.Parameter.empty else f" = {parameter.default!r}"
    return f"{stars}{parameter.name}: {_kind(parameter.annotation)}{default}"


def _kind(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).removeprefix("typing.")


def _default(field: Any) -> str:
    """` = value`, ` = ...` for one that is made, nothing for a field that must be given."""
    missing = (dataclasses.MISSING, msgspec.NODEFAULT)
    if field.default not in missing:
        value = field.default
        return f" = {value!r}" if isinstance(value, str | int | float | tuple | None) else " = ..."
    return "" if field.default_factory in missing else " = ..."


def _fields(fields: Any) -> Iterator[str]:
    rows = []
    for name, kind, default in fields:
        rows.append(f"- `{name}: {_kind(kind)}{default}`")
    yield "\n".join(rows) + "\n"


def _errors() -> Iterator[str]:
    """The tree as it stands at the top of the module, then each error."""
    tree = re.search(r"^    FastPixError\n(?:.*\n)+?(?=\n)", errors.__doc__ or "", re.MULTILINE)
    assert tree is not None
    yield "```text\n" + inspect.cleandoc(tree[0]) + "\n```\n"
    kinds = [
        value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    for kind in kinds:
        yield f"- `{kind.__name__}`: " + " ".join(_text(kind).split()) + "\n"


def _shapes() -> Iterator[str]:
    for name in types.__all__:
        kind = getattr(types, name)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield f"### `types.{name}`\n"
            if inspect.getdoc(kind):
                yield _text(kind) + "\n"
            annotations = {}
            for base in reversed(kind.__mro__):
                annotations.update(getattr(base, "__annotations__", {}))
            defaults = {field.name: _default(field) for field in msgspec.structs.fields(kind)}
            yield from _fields((field, annotations[field], defaults[field]) for field in kind.__struct_fields__)


def _text(value: Any) -> str:
    return inspect.getdoc(value) or ""


if __name__ == "__main__":
    PAGE.write_text(page())
