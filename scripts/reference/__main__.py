"""``python -m scripts.reference``: writes the pages anew and removes those that are no longer made."""

import sys

from scripts.reference.pages import ROOT, make_pages


def main() -> int:
    """Write every page and name those that changed."""
    pages = make_pages()
    for path, text in pages.items():
        file = ROOT / path
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path}\n")
    for left in (ROOT / "docs" / "reference").glob("*.md"):
        if str(left.relative_to(ROOT)) not in pages:
            left.unlink()
    return 0


sys.exit(main())
