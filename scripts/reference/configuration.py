"""The page of ``responder.yml``: the keys from its reader, their meaning from a table."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from responder.language.durations import format_duration
from responder.settings import StoreSettings
from responder.settings.load import KEYS, RESERVED
from responder.settings.sections_http import AUTH_KEYS, HTTP_KEYS
from scripts.reference.configuration_words import FILE_TWIN, SECTIONS, WORDS
from scripts.reference.explorer import NAME, Entry, explore
from scripts.reference.markdown import code, page, sentence, table

HTTP = "http_config"
_HTTP_LINK = f"[{HTTP}](#{HTTP})"
_STRUCTURE = ("mapping", "names", "list", "one or a list")


def configuration_page() -> str:
    """Return the page of the configuration file."""
    known = settings_keys()
    return page(
        "Configuration",
        "`responder.yml`, read strictly: an unknown key is an error with its place. Paths are relative to the file. "
        f"Every secret may stand in a file of its own (`…_file`). `{NAME}` stands for a name of your choice, `[]` for "
        "an item of a list. The flags of `responder serve` are on the page of the "
        "[command line](command-line.md#responder-serve).",
        *(_section(key, known) for key in KEYS),
        _http(known),
        "## Reserved\n\n" + table(("Key", "For"), ((code(key), sentence(why)) for key, why in RESERVED.items())),
    )


def settings_keys() -> Mapping[str, Entry]:
    """Return every key by its dotted path; those of HTTP clients once, under ``http_config``."""
    found: dict[str, Entry] = {}
    explored = explore()
    for path, entry in explored.items():
        found.setdefault(_known_as(path, explored), entry)
    return found


def _known_as(path: str, explored: Mapping[str, Entry]) -> str:
    """Return the path under which a key is described: an HTTP client's key is the same wherever it stands."""
    parts = path.split(".")
    for place, part in enumerate(parts):
        if _is_http(parts[:place], part, explored) or _is_auth(parts, place):
            return ".".join([HTTP, *parts[place:]])
    return path


def _is_http(parent: list[str], part: str, explored: Mapping[str, Entry]) -> bool:
    """Whether ``part`` is a key of an HTTP client's settings below ``parent``."""
    owner = explored.get(".".join(parent))
    return part in HTTP_KEYS and owner is not None and _is_client(owner)


def _is_client(entry: Entry) -> bool:
    """Whether a mapping has the keys of an HTTP client."""
    return set(HTTP_KEYS) <= set(entry.children)


def _is_auth(parts: list[str], place: int) -> bool:
    """Whether a path goes on below the credentials that a source wants to see: the same keys as a client's."""
    return parts[place] in AUTH_KEYS and place + 1 < len(parts)


def meaning(path: str) -> str | None:
    """Return what a key means; empty for a mere container, None for one that nobody has described."""
    if path in WORDS:
        return WORDS[path]
    if path.endswith("_file") and path.removesuffix("_file") in WORDS:
        return FILE_TWIN
    return SECTIONS.get(path)


def is_container(path: str, entry: Entry) -> bool:
    """Say whether a key is only the place of others: an item of a list, or what has a chosen name."""
    return path.endswith((".[]", f".{NAME}")) and not entry.required


def _section(key: str, known: Mapping[str, Entry]) -> str:
    entry = known[key]
    facts = ", ".join(part for part in (_kind(key, entry, known), _default(entry)) if part)
    inside = [path for path in known if path.startswith(f"{key}.")]
    return "\n\n".join(part for part in (f"## {key}", f"{SECTIONS[key]} ({facts})", _keys(inside, known)) if part)


def _http(known: Mapping[str, Entry]) -> str:
    inside = [path for path in known if path.startswith(f"{HTTP}.")]
    text = (
        "The keys of every HTTP client, as in Prometheus' `http_config`. They stand beside `url`, in the same mapping; "
        "a bare URL may stand for the mapping."
    )
    return f"## {HTTP}\n\n{text}\n\n{_keys(inside, known)}"


def _keys(paths: list[str], known: Mapping[str, Entry]) -> str:
    rows = [
        (code(_shown(path)), _kind(path, known[path], known), _needed(path, known[path]), meaning(path) or "")
        for path in sorted(paths, key=lambda path: _place(path, known))
        if not is_container(path, known[path]) or _is_client(known[path])
    ]
    return table(("Key", "Type", "Default", "Meaning"), rows)


def _place(path: str, known: Mapping[str, Entry]) -> list[int]:
    """Return where a key belongs: below its parent, in the order of the reader."""
    order, parts = list(known), path.split(".")
    above = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return [order.index(one) for one in above if one in known]


def _shown(path: str) -> str:
    return path.removeprefix(f"{HTTP}.").replace(".[]", "[]")


def _kind(path: str, entry: Entry, known: Mapping[str, Entry]) -> str:
    return " or ".join(_kinds(path, entry, known)) or "see its meaning"


def _kinds(path: str, entry: Entry, known: Mapping[str, Entry]) -> Iterator[str]:
    if entry.choices == (NAME,):
        yield f"a name under {code(path.rpartition('.')[2])}"
    elif entry.choices:
        yield ", ".join(code(one) for one in entry.choices)
    for kind in entry.kinds:
        if kind == "mapping" and (_is_client(entry) or (_last(path) in AUTH_KEYS and not path.startswith(HTTP))):
            yield _HTTP_LINK
        elif kind in ("list", "one or a list"):
            yield from _of(kind, known.get(f"{path}.[]"))
        elif kind == "names":
            yield from _of("mapping of names", known.get(f"{path}.{NAME}"), to="to")
        elif not (kind == "URL" and _is_client(entry)):
            yield kind


def _of(kind: str, inner: Entry | None, to: str = "of") -> Iterator[str]:
    """Name the kind of what a list or mapping holds, when it is a plain value."""
    if inner is None:
        yield kind
        return
    plain = [code(one) for one in inner.choices] + [one for one in inner.kinds if one not in _STRUCTURE]
    yield f"{kind} {to}: {', '.join(plain)}" if plain and not inner.children else kind


def _needed(path: str, entry: Entry) -> str:
    if entry.required:
        return "**required**" if "secret" not in entry.kinds else f"**required** (or {code(f'{_last(path)}_file')})"
    return _default(entry).removeprefix("default ")


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _default(entry: Entry) -> str:
    text = _written(entry.default)
    return f"default {code(text)}" if text else ""


def _written(value: object) -> str:
    """Return a default as it would be written; empty for what says nothing."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, StoreSettings):
        return value.url
    if isinstance(value, tuple) and value and isinstance(value[0], Path):
        return ", ".join(f"{one}/" for one in value)
    return str(value) if isinstance(value, str) else ""
