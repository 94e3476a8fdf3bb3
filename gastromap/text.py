"""Texts for people: English that remembers its template and its values, so that it can be said in another language.

A :class:`Text` is a string like any other, so results, JSON and DICOM objects hold plain English. Reports ask
:mod:`gastromap.reports.catalogue` for the same text in another language. The template is always written out where the
text is made: it is the key of the catalogue, and a test collects the templates from the source.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Text", "alternatives", "enumerated", "in_a_row"]


class Text(str):
    """English text made of a template and values.

    Parameters
    ----------
    template : str
        With names in braces: ``{votes} of {slices} slices vote for {stage}``.
    **values : str or int
        For those names; a value can be a :class:`Text` itself. Numbers that need a format come as strings.

    Attributes
    ----------
    template : str
    values : dict
    """

    template: str
    values: dict[str, str | int]

    def __new__(cls, template: str, /, **values: str | int) -> Text:
        """Fill the template."""
        self = super().__new__(cls, template.format(**values))
        self.template, self.values = template, values
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, str | int]]:
        # For copies and for the pipe between processes.
        return (self.template,), self.values


def _listed(items: Sequence[str]) -> str:
    text = items[0]
    for item in items[1:]:
        # Chinese has a comma of its own between the parts of a list.
        text = Text("{first}, {next}", first=text, next=item)
    return text


def in_a_row(items: Sequence[str]) -> str:
    """Join clauses by commas: ``a, b, c``; nothing gives an empty string."""
    text = items[0] if items else ""
    for item in items[1:]:
        text = Text("{first}, {second}", first=text, second=item)
    return text


def enumerated(items: Sequence[str]) -> str:
    """Join one or more texts: ``a, b and c``."""
    if len(items) == 1:
        return items[0]
    return Text("{first} and {last}", first=_listed(items[:-1]), last=items[-1])


def alternatives(items: Sequence[str]) -> str:
    """Join one or more texts: ``a, b or c``."""
    if len(items) == 1:
        return items[0]
    return Text("{first} or {last}", first=_listed(items[:-1]), last=items[-1])
