"""Let links that lead out of docs/ work in the site, too: what they lead to becomes a page of it.

A page is read in two places, in this folder on a code host and in the site, and its links are written for the first.
Takes what the pages link to outside of docs/ and gives each such file a page under `repository/`, a program as its
text: the site stays whole without a network, and needs no address of the repository. What is not there is left as it
is written, for the strict build to complain of.
"""

import re
from pathlib import Path
from posixpath import relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

LINK = re.compile(r"(\]\()([^)\s#]+)")  # of [text](target#part), the target
COMMENT = re.compile(r"^(<!--.*-->)\n(?=\|)", re.M)  # right above a table, which would be no table then
FOREIGN = re.compile(r"[a-z]+:")
FOLDER = "repository"
ALWAYS = ("CHANGELOG.md", "CONTRIBUTING.md", "README.md")  # the navigation names them
FETCHED_WORKER = "https://unpkg.com/iframe-worker/shim"  # what the theme's plugin `offline` would have a browser fetch
WORKER = "assets/worker.js"
LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".lua": "lua", ".service": "ini"}

_sources: dict[str, Path] = {}  # of the pages made here: the address in the site, and the file


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file outside of docs/ that a page links to, or that such a page links to."""
    docs = Path(config.docs_dir)
    _sources.clear()
    files.append(File.generated(config, WORKER, content=Path(__file__).with_name("worker.js").read_text("utf-8")))
    waiting = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    waiting += [docs.parent / name for name in ALWAYS]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop().resolve()
        if path in seen:
            continue
        seen.add(path)
        if not path.is_relative_to(docs):
            _add_page(path, docs, files, config)
        if path.suffix == ".md":
            waiting += find_linked(path, docs.parent)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn each link to a file of the repository into one to its page in the site, and part tables from comments."""
    docs = Path(config.docs_dir)
    uri = page.file.src_uri
    folder = _sources.get(uri, docs / uri).parent

    def turn(match: re.Match[str]) -> str:
        path = (folder / match[2]).resolve()
        if FOREIGN.match(match[2]) or not path.is_file() or not path.is_relative_to(docs.parent):
            return match[0]
        return match[1] + relpath(name_in_site(path, docs), Path(uri).parent.as_posix())

    return COMMENT.sub(r"\1\n\n", LINK.sub(turn, markdown))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Take the theme's stand-in for workers, without which a page that is read from a disk finds nothing, from here."""
    return _take_worker(output, relpath(WORKER, Path(page.file.dest_uri).parent.as_posix()))


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """Do the same in the page that a server shows for an address that is none."""
    return _take_worker(output, f"/{WORKER}") if template_name == "404.html" else output


def find_linked(path: Path, root: Path) -> list[Path]:
    """Return the files in root that a Markdown file links to."""
    targets = [match[2] for match in LINK.finditer(path.read_text(encoding="utf-8")) if not FOREIGN.match(match[2])]
    linked = [(path.parent / target).resolve() for target in targets]
    return [one for one in linked if one.is_file() and one.is_relative_to(root)]


def name_in_site(path: Path, docs: Path) -> str:
    """Return the source address of a file in the site: itself in docs/, a page under repository/ elsewhere."""
    if path.is_relative_to(docs):
        return path.relative_to(docs).as_posix()
    inside = path.relative_to(docs.parent).as_posix()
    return f"{FOLDER}/{inside}" + ("" if path.suffix in (".md", ".png", ".jpg") else ".md")


def _take_worker(output: str, address: str) -> str:
    if output.count(FETCHED_WORKER) != 1:
        raise PluginError(f"the theme no longer asks for {FETCHED_WORKER}: see what docs/site/links.py puts there")
    return output.replace(FETCHED_WORKER, address)


def _add_page(path: Path, docs: Path, files: Files, config: MkDocsConfig) -> None:
    uri = name_in_site(path, docs)
    _sources[uri] = path
    if path.suffix in (".md", ".png", ".jpg"):
        made = File.generated(config, uri, abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV)
    else:
        language = LANGUAGES.get(path.suffix, "text")
        text = f"# {path.relative_to(docs.parent).as_posix()}\n\n``````{language}\n{path.read_text('utf-8')}\n``````\n"
        made = File.generated(config, uri, content=text, inclusion=InclusionLevel.NOT_IN_NAV)
    files.append(made)
