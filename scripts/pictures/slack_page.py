"""Slack blocks as a page: near enough to Slack's own drawing to see what reads badly."""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

Block = Mapping[str, Any]

STYLE = """
body { margin: 0; background: #fff; font: 15px/1.46 Lato, "DejaVu Sans", sans-serif; color: #1d1c1d; }
.message { display: flex; gap: 9px; padding: 9px 16px; width: 648px; }
.avatar { width: 36px; height: 36px; border-radius: 6px; background: #263238; color: #fff; text-align: center;
  line-height: 36px; font-weight: 700; flex: none; }
.name { font-weight: 900; } .app { background: #eee; font-size: 10px; padding: 1px 4px; border-radius: 3px; }
.at { color: #616061; font-size: 12px; } .body { flex: 1; min-width: 0; }
.header { font-size: 18px; font-weight: 900; margin: 6px 0; overflow-wrap: anywhere; }
.section, .rich { margin: 6px 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.context { margin: 6px 0; font-size: 13px; color: #616061; white-space: pre-wrap; overflow-wrap: anywhere; }
.context > span { margin-right: 8px; } .actions { display: flex; gap: 8px; margin: 8px 0; }
.pre { border: 1px solid #ddd; border-radius: 4px; background: #f8f8f8; padding: 8px; margin: 4px 0;
  font: 12px/1.5 "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
button { border: 1px solid #bbb; border-radius: 4px; background: #fff; padding: 5px 12px; font-weight: 700;
  font-size: 14px; } .primary { background: #007a5a; color: #fff; border-color: #007a5a; }
.danger { background: #fff; color: #e01e5a; border-color: #e01e5a; } a { color: #1264a3; text-decoration: none; }
.mention { background: #fdf2d0; color: #1264a3; border-radius: 3px; padding: 0 2px; }
.thread { width: 600px; margin-left: 45px; border-left: 3px solid #ddd; }
"""


MEASURE = "<script>document.body.dataset.height = Math.ceil(document.body.getBoundingClientRect().height)</script>"
"""Says how high the page is, for whoever takes the picture. The browser's first window may be wider than the picture:
messages have a width of their own."""


def page(messages: Sequence[tuple[Sequence[Block], bool]]) -> str:
    """Return a page with these messages; each says whether it is a reply in the thread of the one before."""
    drawn = "".join(_message(blocks, reply=reply) for blocks, reply in messages)
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><body>{drawn}{MEASURE}</body>"


def _message(blocks: Sequence[Block], *, reply: bool) -> str:
    head = "<div><span class=name>responder</span> <span class=app>APP</span> <span class=at>14:02</span></div>"
    body = head + "".join(_DRAWN[str(block["type"])](block) for block in blocks)
    return (
        f'<div class="message{" thread" if reply else ""}"><div class=avatar>R</div><div class=body>{body}</div></div>'
    )


def _header(block: Block) -> str:
    return f"<div class=header>{escape(block['text']['text'])}</div>"


def _section(block: Block) -> str:
    return f"<div class=section>{_text(block['text'])}</div>"


def _context(block: Block) -> str:
    return f"<div class=context>{''.join(f'<span>{_text(one)}</span>' for one in block['elements'])}</div>"


def _actions(block: Block) -> str:
    return f"<div class=actions>{''.join(_button(one) for one in block['elements'])}</div>"


def _button(one: Block) -> str:
    style = one.get("style", "")
    return f"<button class='{style}'>{escape(one['text']['text'])}</button>"


def _rich(block: Block) -> str:
    parts = []
    for one in block["elements"]:
        text = "".join(_piece(piece) for piece in one["elements"])
        preformatted = one["type"] == "rich_text_preformatted"
        parts.append(f"<div class={'pre' if preformatted else 'rich'}>{text}</div>")
    return "".join(parts)


def _piece(piece: Block) -> str:
    text = escape(piece["text"])
    return f"<b>{text}</b>" if piece.get("style", {}).get("bold") else text


def _text(one: Block) -> str:
    if one["type"] != "mrkdwn":
        return escape(one["text"])
    named = re.sub(r"<!subteam\^\w+>", '<span class="mention">@sre-oncall</span>', one["text"])
    return re.sub(r"<(https?://[^|>]+)\|([^>]+)>", r'<a href="#">\2</a>', named)


_DRAWN: Mapping[str, Callable[[Block], str]] = {
    "header": _header,
    "section": _section,
    "context": _context,
    "actions": _actions,
    "rich_text": _rich,
}
