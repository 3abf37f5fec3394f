"""SQLite indexes of topics, for queries that a log cannot answer.

An index is derived data. It can be deleted at any time and is read from its topics again. Each
process has its own, or shares one with other processes on the same disk.
"""

from hookseal.dead_letters.index.attempts import AttemptIndex
from hookseal.dead_letters.index.letters import LetterIndex

__all__ = ["AttemptIndex", "LetterIndex"]
