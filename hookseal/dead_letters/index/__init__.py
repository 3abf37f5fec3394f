"""Answers to questions that a log cannot answer by itself: indexes of topics, in SQLite.

An index is derived: it can be deleted at any time, and is read from its topics again. Every
process owns its own or shares one with others on the same disk; nobody has to run it.
"""

from hookseal.dead_letters.index.attempts import AttemptIndex
from hookseal.dead_letters.index.letters import LetterIndex

__all__ = ["AttemptIndex", "LetterIndex"]
