"""Draw every state of a message into ``docs/pictures``: ``python -m scripts.pictures`` (needs chromium).

The incidents are those of the golden tests, so the pictures show what is tested.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from responder.notifiers.slack_blocks import blocks, question, thread
from responder.notifiers.slack_questions import words_of
from scripts.pictures.slack_page import Block, page
from tests.unit.tell.stories import STORIES, Story

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
MENTION = "<!subteam^S0ONCALL>"
WIDTH = 680
_HEIGHT = re.compile(r'data-height="(\d+)"')
THREADS = frozenset({"rolled-back"})
"""States whose thread is drawn as well."""


def main() -> int:
    """Draw all of them; returns 2 without a browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.stderr.write("chromium is not there: apt-get install chromium\n")
        return 2
    PICTURES.mkdir(exist_ok=True)
    wanted = set(sys.argv[1:]) or set(STORIES)
    for name in sorted(wanted):
        draw(browser, name, page(_messages(name, STORIES[name])))
    return 0


def _messages(name: str, story: Story) -> list[tuple[list[Block], bool]]:
    news = story.told()
    asked = [(words_of(one), "https://slack.example/archives/C0/p1") for one in news.questions if one.pending]
    main = blocks(news, pressable=True, mention=MENTION if news.page else "", asked=asked)
    replies = [list(one.blocks) for one in thread(news.entries, MENTION)] if name in THREADS else []
    asking = [list(question(one, news, pressable=True)[1]) for one in news.questions]
    return [(list(main), False), *((one, True) for one in (*asking, *replies))]


def draw(browser: str, name: str, html: str) -> None:
    """Draw one page, as high as what is on it."""
    with tempfile.TemporaryDirectory() as folder:
        source, shot = Path(folder) / "page.html", PICTURES / f"{name}.png"
        source.write_text(html, encoding="utf-8")
        height = int(_HEIGHT.findall(_run(browser, "--dump-dom", source.as_uri()))[0])
        _run(browser, f"--window-size={WIDTH},{height}", f"--screenshot={shot}", source.as_uri())


def _run(browser: str, *arguments: str) -> str:
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=60, text=True).stdout  # noqa: S603 - ours


if __name__ == "__main__":
    sys.exit(main())
