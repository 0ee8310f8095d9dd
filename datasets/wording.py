"""Known phrases in a trader's description of goods: lists, plurals and denials understood."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

# Ideographs, kana and Hangul are written without spaces: each character is a token of its own.
_TOKEN = re.compile(r"[぀-ヿ㐀-䶿一-鿿가-힯]|[^\W_぀-ヿ㐀-䶿一-鿿가-힯]+|[.,;:()!?、。/&+]")
_LISTING = frozenset(", 、 / & + and or nor und oder et ou y o e и 和 及 与 或".split())
_BREAKS = frozenset(". ; : ( ) ! ? 。 but".split())

Tokens = tuple[str, ...]

Phrases = Mapping[str, list[tuple[Tokens, frozenset[str]]]]
"""Phrases by their first token, the longest first, each with what it stands for."""


def phrases(meanings: Mapping[str, frozenset[str]]) -> Phrases:
    """Phrases and what they stand for, ready for `named`; the plural of a phrase stands for the same."""
    found: dict[Tokens, frozenset[str]] = {}
    for phrase, meaning in meanings.items():
        words = tokens(phrase)
        found[words] = found.get(words, frozenset()) | meaning
    for words, meaning in list(found.items()):
        if len(words[-1]) > 1:
            for plural in ("s", "es"):
                found.setdefault((*words[:-1], words[-1] + plural), meaning)
    by_first: dict[str, list[tuple[Tokens, frozenset[str]]]] = {}
    for words, meaning in sorted(found.items(), key=lambda item: -len(item[0])):
        by_first.setdefault(words[0], []).append((words, meaning))
    return by_first


def tokens(text: str) -> Tokens:
    """Words and signs of a text, without case and width; each ideograph is one."""
    return tuple(_TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()))


def _openings(*texts: str) -> tuple[Tokens, ...]:
    return tuple(map(tokens, texts))


_DENY_NEXT = _openings("no", "non", "zero", "anti", "无", "無", "非", "免")
_DENY_LIST = _openings(
    *("without", "w/o", "not", "free of", "free from", "excluding", "except"),
    *("sans", "sin", "senza", "sem", "ohne", "kein", "keine", "без", "不含", "不带", "没有", "未含"),
)
_DENY_BEFORE = _openings("free", "less", "frei", "libre", "フリー")


def _starts(said: Tokens, at: int, openings: tuple[Tokens, ...]) -> int:
    """Number of tokens of the first of some phrases that stands at a place, 0 for none."""
    return next((len(p) for p in openings if said[at : at + len(p)] == p), 0)


def named(text: str, known: Phrases) -> frozenset[str]:
    """What the phrases of a description stand for, without those that it denies ("lead-free", "free of lead").

    The longest phrase at a place wins and uses its words up.
    """
    said = tokens(text)
    found: set[str] = set()
    listed: list[frozenset[str]] = []  # what stands in the running list "lead, antimony and tin", not yet counted
    denied = once = seen = False  # a denial is open; it ends with the next token; it has met a phrase
    at = 0

    def close() -> None:
        found.update(*listed)
        listed.clear()

    while at < len(said):
        token = said[at]
        entry = next((e for e in known.get(token, ()) if said[at : at + len(e[0])] == e[0]), None)
        if entry is not None:
            if at and said[at - 1] not in _LISTING:
                close()
            if not denied:
                listed.append(entry[1])
            seen, denied, once = True, denied and not once, False
            at += len(entry[0])
        elif step := _starts(said, at, _DENY_BEFORE) if listed and not _starts(said, at, _DENY_LIST) else 0:
            listed.clear()  # "lead and antimony free"
            at += step
        elif step := _starts(said, at, _DENY_LIST):
            close()
            denied, once, seen, at = True, False, False, at + step
        elif step := _starts(said, at, _DENY_NEXT):
            close()
            denied, once, seen, at = True, True, False, at + step
        elif token in _LISTING:
            # A denial runs on through a list: "free of lead, antimony"; not past "without packing, lead".
            denied = denied and seen
            at += 1
        else:
            close()
            if token in _BREAKS or once:
                denied = once = False
            elif denied and seen and said[at - 1] in (",", "、"):
                denied = False
            at += 1
    close()
    return frozenset(found)
