"""The API reference: one self-contained page made from the OpenAPI document, without scripts or foreign hosts.

The API serves it at /v1/docs; the app also answers it at /docs.
"""

import functools
from collections.abc import Sequence
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.api.document import Document

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1e;background:#fff}
h2{margin-top:3rem;border-bottom:1px solid #ddd}h3{margin:2rem 0 .25rem;font-size:1.05rem}
code{font:14px ui-monospace,monospace}.m{display:inline-block;min-width:4.5em;font-weight:700}
table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{text-align:left;padding:.25rem .75rem .25rem 0;
vertical-align:top;border-bottom:1px solid #eee}th{font-weight:600;color:#666}
@media(prefers-color-scheme:dark){body{color:#eee;background:#111}td,th,h2{border-color:#333}a{color:#8bf}}
"""
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


def attach(api: FastAPI, document: Document) -> None:
    def serve(_request: Request) -> Response:
        return Response(_page(document).encode(), media_type="text/html; charset=utf-8", headers=_HEADERS)

    api.router.routes.append(Route("/docs", serve, methods=["GET"], include_in_schema=False))


@functools.lru_cache(maxsize=1)
def _page(document: Document) -> str:
    return page(document.made())


def page(document: dict[str, Any]) -> str:
    info = document["info"]
    base = document["servers"][0]["url"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])}</h1><p>{_text(info['description'])}</p>",
        f"<p>Base URL <code>{escape(base)}</code>. The same as <a href='/v1/openapi.json'>OpenAPI document</a>.</p>",
    ]
    for tag, operations in _by_tag(document).items():
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [_operation(path, method, operation) for path, method, operation in operations]
    parts.append("<h2>Schemas</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts.append(f"<h3 id='{escape(name)}'>{escape(name)}</h3>{_schema(schema)}")
    return "".join(parts) + "</html>"


def _by_tag(document: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    found: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found.setdefault(operation["tags"][0], []).append((path, method.upper(), operation))
    return found


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    name = escape(operation["operationId"])
    parts = [f"<h3 id='{name}'><span class=m>{method}</span> <code>{escape(path)}</code></h3>"]
    parts.append(f"<p>{_text(operation.get('description', ''))} <small>{name}</small></p>")
    rows = [
        (p["name"], p["in"], _type(p["schema"]), "required" if p.get("required") else "", p.get("description", ""))
        for p in operation.get("parameters", ())
    ]
    if rows:
        parts.append(_table(("Parameter", "In", "Type", "", ""), rows))
    body = operation.get("requestBody")
    if body:
        parts.append(f"<p>Body: {_type(body['content']['application/json']['schema'])}</p>")
    answers = [
        (code, _type(a.get("content", {}).get("application/json", {}).get("schema", {})), a["description"])
        for code, a in sorted(operation["responses"].items())
    ]
    return "".join(parts) + _table(("Answer", "Body", ""), answers)


def _schema(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (name, _type(member), "required" if name in required else "", member.get("description", ""))
        for name, member in schema.get("properties", {}).items()
    ]
    about = f"<p>{_text(schema['description'])}</p>" if schema.get("description") else ""
    return about + (_table(("Member", "Type", "", ""), rows) if rows else f"<p>{_type(schema)}</p>")


def _type(schema: dict[str, Any]) -> "_Html":
    """A schema in a few words."""
    return _Html(_type_text(schema))


def _type_text(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f"<a href='#{name}'>{name}</a>"
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(_type(choice) for choice in choices if choice.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"<code>{escape(str(v))}</code>" for v in schema.get("enum", [schema.get("const")]))
    words = [str(schema.get("type", "any")), str(schema.get("format", ""))]
    words += [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return escape(" ".join(word for word in words if word))


_BOUNDS = {"minimum": "from", "maximum": "to", "maxLength": "up to", "maxProperties": "at most", "default": "default"}


class _Html(str):
    """Text that is markup already."""

    __slots__ = ()


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{h}</th>" for h in head) + f"</tr>{lines}</table>"


def _cell(cell: str) -> str:
    return cell if isinstance(cell, _Html) else _text(cell)


def _text(text: str) -> str:
    """Escaped, with `code` in backquotes."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces))
