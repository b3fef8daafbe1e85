"""The tag around a part of a page that stays live."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.base import FilterExpression, NodeList, Parser, Token
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from batchops.admin.ui import live as live_parts

register = template.Library()


class LiveNode(template.Node):
    """A part of a page by its name; with `hold` its rows stay in their places."""

    def __init__(self, name: FilterExpression, inside: NodeList, *, hold: bool) -> None:
        self.name, self.nodelist, self.hold = name, inside, hold

    def render(self, context: template.Context) -> SafeString:
        name, html = str(self.name.resolve(context)), self.nodelist.render(context)
        request: Any = context.get("request")
        live_parts.keep(request, name, html)
        hold = mark_safe(" data-hold") if self.hold else ""
        return format_html('<div data-part="{}"{}>{}</div>', name, hold, html)


@register.tag
def live(parser: Parser, token: Token) -> LiveNode:
    """`{% live "rows" %}…{% endlive %}`, or `{% live "rows" hold %}`."""
    _, name, *options = token.split_contents()
    if options not in ([], ["hold"]):
        raise template.TemplateSyntaxError("live takes a name, and “hold”")
    inside = parser.parse(("endlive",))
    parser.delete_first_token()
    return LiveNode(parser.compile_filter(name), inside, hold=bool(options))
