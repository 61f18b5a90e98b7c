"""The pages that a browser opens: the API to try, and what each problem means."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path

from markupsafe import escape

from api.problems import status_of
from tools import errors


def allow(text: str) -> str:
    """Name what stands in a page as its policy has to, so that it may run or style the page."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


#: Swagger UI's own files, from the wheel that carries them; its Flask part is not imported.
ASSETS = Path(str(distribution("flask-swagger-ui").locate_file("flask_swagger_ui"))) / "dist"

TRY = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Packshot API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="ui"></div><script src="/docs/swagger-ui-bundle.js"></script>
<script>%s</script>
</body></html>
"""

START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null});'

#: The page runs what stands in it and the bundle beside it, which writes styles and shows pictures of its own.
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; font-src 'self'; style-src 'self' 'unsafe-inline'; "
    f"script-src 'self' {allow(START)}; frame-ancestors 'none'"
)

#: What a docstring sets off as words of a program.
WORDS = re.compile(r"`([^`]+)`")

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
dt { margin-top: 1.1rem; overflow-wrap: anywhere }
dt span { opacity: .65; margin-left: .5rem }
dd { margin: 0 }
:target { outline: 2px solid; outline-offset: 4px }
"""

#: The page of problems runs nothing, and has the one style that stands in it.
STYLED = f"default-src 'none'; style-src {allow(STYLE)}; frame-ancestors 'none'"


def list_problems() -> Iterator[str]:
    """Write the page to which the type of a problem document leads."""
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Packshot: problems</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{STYLE}</style></head><body>"
    yield "<h1>Problems</h1><p>The <code>code</code> of an answer says which of these it is, its <code>detail</code> "
    yield 'what to do. The number is the HTTP status. <a href="/docs">The API</a></p><dl>\n'
    known = {error.code: error for error in errors.every()}
    for code, error in sorted(known.items()):
        again = " The same request can succeed later." if error.retryable else ""
        said = WORDS.sub(r"<code>\1</code>", str(escape(error.__doc__ or "")))
        yield f'<dt id="{code}"><strong><code>{code}</code></strong><span>{status_of(error)}</span></dt>'
        yield f"<dd>{said}{again}</dd>\n"
    yield "</dl></body></html>\n"
