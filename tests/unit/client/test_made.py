"""What is made from the asynchronous client is what is in the repository; the package keeps its promises to others."""

import ast
from pathlib import Path

from tools import make_sync

CLIENT = Path(make_sync.CLIENT)


def test_the_synchronous_client_is_made_from_the_asynchronous_one() -> None:
    made = make_sync.made()
    assert {path.name for path in make_sync.TARGET.glob("*.py")} == set(made)
    differing = [name for name, text in made.items() if (make_sync.TARGET / name).read_text() != text]
    assert differing == [], "run: python -m tools.make_sync"


def test_nothing_asynchronous_is_left_in_it() -> None:
    for path in make_sync.TARGET.glob("*.py"):
        tree = ast.parse(path.read_text())
        kinds = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
        assert not [node for node in ast.walk(tree) if isinstance(node, kinds)], path.name
        assert "async" not in path.read_text().replace("fastpix/_async", "").replace("_async/", "").lower(), path.name


def test_the_client_keeps_to_the_grammar_of_python_3_10() -> None:
    for path in CLIENT.rglob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 10))


def test_every_public_function_says_what_it_does() -> None:
    for path in [*make_sync.SOURCE.glob("*.py"), CLIENT / "urls.py", CLIENT / "tokens.py", CLIENT / "signatures.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "Operations" in node.name:
                for method in node.body:
                    if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_"):
                        assert ast.get_docstring(method), f"{path.name}: {method.name}"
                        positional = [arg.arg for arg in method.args.args if arg.arg != "self"]
                        assert positional in ([], ["file"]), f"{path.name}: {method.name} is keyword-only"
