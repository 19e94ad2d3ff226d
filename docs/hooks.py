"""Takes files that lie outside `docs/` into the site, so that links to them work there as they do in the repository."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("saved_models/*/MODEL_CARD.md"))),
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("examples/*.py"))),
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("colab/*.ipynb"))),
)


def _on_site(path: str) -> str:
    """Returns where a file of the repository lies among the site's sources; code becomes a page."""
    return f"{path}.md" if path.endswith(".py") else path


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files from outside."""
    for path in OUTSIDE:
        source = ROOT / path
        if path.endswith(".py"):
            text = f"# `{path}`\n\n```python\n{source.read_text(encoding='utf-8')}```\n"
            file = File.generated(config, _on_site(path), content=text)
        else:
            file = File.generated(config, path, abs_src_path=str(source))
        files.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points links that leave `docs/` to where these files lie on the site."""
    if page.file.generated_by:
        return markdown
    folder = posixpath.dirname(page.file.src_uri)

    def moved(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, link[1]))
        return f"]({posixpath.relpath(_on_site(path), folder or '.')})" if path in OUTSIDE else link[0]

    return re.sub(r"\]\((\.\./[^)#\s]+)\)", moved, markdown)
