"""Renders HTML and SVG from templates beside their code, in ``PACKAGE/templates``."""

from __future__ import annotations

import functools

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edge.printable import printable


def render(package: str, template: str, **values: object) -> Markup:
    """Fills the template. Escapes every value except Markup."""
    return Markup(_environment(package).get_template(template).render(values))


def _shown(value: object) -> object:
    return printable(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.cache
def _environment(package: str) -> Environment:
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
