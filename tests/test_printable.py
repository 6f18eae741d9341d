"""Text from outside cannot move the cursor, end a line, turn the writing round or mark itself up."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinenet.printable import markdown, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sub-01_T2", "sub-01_T2"),
        ("Jürgen/脊椎 🦴", "Jürgen/脊椎 🦴"),
        ("C:\\scans\\x", "C:\\scans\\x"),
        ("[/bold]", "[/bold]"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31m\x07\x9b", "\\x1b[31m\\x07\\x9b"),
        ("\u202egnp\u2066\u200f", "\\u202egnp\\u2066\\u200f"),
        ("\u2028\u2029\ufeff\u00ad", "\\u2028\\u2029\\ufeff\\xad"),
        ("\udcff\U000e0041", "\\udcff\\U000e0041"),
        ("\u0646\u200c\u0645", "\u0646\u200c\u0645"),
        (7, "7"),
    ],
)
def test_what_is_not_to_be_seen_is_escaped(text: object, shown: str) -> None:
    assert printable(text) == shown


@settings(max_examples=50)
@given(st.text(), st.none() | st.integers(1, 20))
def test_it_is_one_line_of_what_can_be_seen(text: str, most: int | None) -> None:
    shown = printable(text, most)
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(c) for c in shown if c not in "\u200c\u200d"} & {
        "Cc",
        "Cf",
        "Cs",
        "Zl",
        "Zp",
    }
    assert most is None or len(shown) <= most
    assert printable(shown) == shown
    shown.encode()


def test_the_middle_of_a_long_text_is_left_out() -> None:
    assert printable("abcdefghij", 5) == "ab…ij"
    assert printable("abcdefghij", 10) == "abcdefghij"


def test_signs_of_markdown_and_html_are_escaped() -> None:
    assert markdown("[x](javascript:y) *a* `b` <b>&\n") == (
        "\\[x\\]\\(javascript:y\\) \\*a\\* \\`b\\` &lt;b\\>&amp;\\\\n"
    )
