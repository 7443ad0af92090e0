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
:root{color-scheme:light dark;--ink:#1c1e24;--dim:#5c6370;--line:#e2e5ea;--ground:#fff;--raised:#f5f6f8;--link:#1a5fc4}
@media(prefers-color-scheme:dark){
:root{--ink:#e8eaf0;--dim:#a3abba;--line:#2c323d;--ground:#0f1115;--raised:#191d25;--link:#7cb7ff}}
*{box-sizing:border-box}html{scroll-padding-top:1rem}
body{font:16px/1.55 system-ui,sans-serif;margin:0;color:var(--ink);background:var(--ground)}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
nav{padding:1rem 1.25rem;border-bottom:1px solid var(--line);background:var(--raised);font-size:.9rem}
nav ul{list-style:none;margin:0;padding:0}nav ul ul{display:none}
nav>ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;margin-top:.5rem}
nav li a{overflow-wrap:anywhere}
main{max-width:60rem;padding:1rem 1.25rem 4rem;min-width:0}
h1{font-size:1.6rem;margin:.5rem 0}h2{margin:3rem 0 1rem;border-bottom:1px solid var(--line);padding-bottom:.25rem}
h3{margin:2.25rem 0 .25rem;font-size:1.05rem;overflow-wrap:anywhere}p{margin:.35rem 0}
small,th{color:var(--dim)}small{white-space:nowrap}
code{font:.875em ui-monospace,monospace}h3 code{font-weight:600}
.m{display:inline-block;min-width:4.6em;font:700 .8rem ui-monospace,monospace}
.GET{color:#1a7f46}.POST{color:#1a5fc4}.PUT,.PATCH{color:#a05a00}.DELETE{color:#c62f2f}
@media(prefers-color-scheme:dark){
.GET{color:#5fd08f}.POST{color:#7cb7ff}.PUT,.PATCH{color:#f0b25e}.DELETE{color:#ff8a80}}
.t{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:.5rem 0;font-size:.9rem}
td,th{text-align:left;padding:.3rem 1rem .3rem 0;vertical-align:top;border-bottom:1px solid var(--line)}
th{font-weight:600}
@media(min-width:64rem){body{display:grid;grid-template-columns:19rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow-y:auto;border:0;border-right:1px solid var(--line)}nav>ul{display:block}
nav ul ul{display:block;margin:.25rem 0 1rem}nav li li a{color:var(--ink);font-size:.85rem}
main{padding:1.5rem 2.5rem 4rem}}
"""
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"}


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
    tagged = _by_tag(document)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'><link rel=icon href='data:,'>",
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>",
        _contents(info["title"], tagged),
        f"<main><h1>{escape(info['title'])}</h1><p>{_text(info['description'])}</p>",
        f"<p>Base URL <code>{escape(base)}</code>. For programs: <a href='/v1/openapi.json'>OpenAPI document</a>.</p>",
    ]
    for tag, operations in tagged.items():
        parts.append(f"<h2 id='{_anchor(tag)}'>{escape(tag)}</h2>")
        parts += [_operation(path, method, operation) for path, method, operation in operations]
    parts.append("<h2 id=schemas>Schemas</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts.append(f"<h3 id='{escape(name)}'>{escape(name)}</h3>{_schema(schema)}")
    return "".join(parts) + "</main></html>"


def _contents(title: str, tagged: dict[str, list[tuple[str, str, dict[str, Any]]]]) -> str:
    """Tags, and below them their operations, for which a narrow screen has no room."""
    lines = [f"<nav aria-label=Contents><a href='#'><b>{escape(title)}</b></a><ul>"]
    for tag, operations in tagged.items():
        names = [escape(operation["operationId"]) for _path, _method, operation in operations]
        below = "".join(f"<li><a href='#{name}'>{name}</a>" for name in names)
        lines.append(f"<li><a href='#{_anchor(tag)}'>{escape(tag)}</a><ul>{below}</ul>")
    return "".join(lines) + "<li><a href='#schemas'>Schemas</a></ul></nav>"


def _anchor(tag: str) -> str:
    return escape("tag-" + "-".join(tag.lower().split()))


def _by_tag(document: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    found: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found.setdefault(operation["tags"][0], []).append((path, method.upper(), operation))
    return found


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    name = escape(operation["operationId"])
    parts = [f"<h3 id='{name}'><span class='m {method}'>{method}</span> <code>{escape(path)}</code></h3>"]
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
    return "<div class=t><table><tr>" + "".join(f"<th>{h}</th>" for h in head) + f"</tr>{lines}</table></div>"


def _cell(cell: str) -> str:
    return cell if isinstance(cell, _Html) else _text(cell)


def _text(text: str) -> str:
    """Escaped, with `code` in backquotes."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces))
