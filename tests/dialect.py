"""Words and phrases that must not come back into texts, and what to write instead.

This is the only list. `tests/unit/test_plain_english.py` checks pages, docstrings, comments and
string literals with it. A key is a regular expression, matched at word boundaries in any case. A
dot, hyphen or underscore belongs to its word, so names such as `lane.gap` do not match.
"""

from __future__ import annotations

import re

__all__ = ["DIALECT", "found_in"]

DIALECT = {
    # Home-made terms: the field has a word for each.
    r"lanes?": "queue, partition, or ordering key",
    r"(?:set|sets|setting) aside": "deferred; never attempted",
    r"what was set aside": "the deferred events, the backlog",
    r"caught up|catch(?:es)? up|catching up": "redelivered; read up to the end offset",
    r"buried|bur(?:y|ies)(?: the| an?)? (?:event|letter|record)": "dead-lettered",
    r"hand(?:s|ed)? over|handing over": "assign, pass, flush before the revocation",
    r"lets? go of|letting go": "stop, release, revoke",
    r"in hand": "in progress",
    r"tried again|tries again|trying again": "retried; says: retry",
    r"the letters?": "the dead letter",
    r"who waits for whom": "ordering mode",
    r"in the orders? `\w+`": "in the mode",
    r"by way of": "through, with",
    r"sealed anew": "sealed again, with a new key",
    r"made anew|makes? (?:\w+ )?anew|begins? anew|entered anew": "recreated, created again",
    r"shared anew": "reassigned",
    r"told of|tells? of": "logged, reported, described",
    r"told so": "gets an error that says so",
    r"to mend|mends|mended": "fix, repair",
    r"for good": "permanently",
    r"come[s]? to nothing|came to nothing": "fails",
    r"holds? on(?=[,;:]|\.(?!\w)|\s+until)": "waits, is blocked",
    r"stands? (?:on|in|beside|behind|still)": "is on, is in, waits",
    r"so long as|so-manieth": "while; the number",
    # Words that hide the subject.
    r"whoever": "name the person or the process",
    r"what (?:is|was) given up": "dead letters",
    r"what (?:is|was) finished": "the offsets that are done",
    r"what waits|what waited": "the events in backoff, the queued events",
    r"what there is(?: not)?": "name the things",
    r"for what it is": "because of its content",
    r"the one before(?: it| the previous)?": "the previous one",
    r"there (?:is|are) none at this place": "No dead letter exists at partition 3, offset 41.",
    r"at this place|(?:its|their|the) first place": "at this partition and offset",
    r"as many (?:\w+ ){1,2}as there is room for": "up to the limit of (number)",
    # Proverbs, suspense and old-fashioned forms.
    r"one or all": "choose an ordering mode",
    r"what to do when": "troubleshooting",
    r"there may be more ways": "other causes may exist",
    r"in disorder": "out of order",
    r"makes? (?:one|it) up": "generate",
    r"nobody but itself": "only itself",
    r"takes? its turn": "waits in the queue",
    r"in the place of": "instead of",
    r"(?:but|save) for": "except",
    r"how so|why so|and so on": "write it out",
}


_EDGE_BEFORE, _EDGE_AFTER = r"(?<![\w.\-/])", r"(?![\w\-/]|\.\w)"
_PATTERNS = {
    phrase: re.compile(
        _EDGE_BEFORE + "(?:" + phrase.replace(" ", r"\s+") + ")" + _EDGE_AFTER, re.IGNORECASE
    )
    for phrase in DIALECT
}


def found_in(text: str) -> list[str]:
    """Return each phrase of the dialect in a text, with its surroundings and the better word."""
    return [
        f"{' '.join(text[max(hit.start() - 30, 0) : hit.end() + 30].split())!r}: {DIALECT[phrase]}"
        for phrase, pattern in _PATTERNS.items()
        for hit in pattern.finditer(text)
    ]
