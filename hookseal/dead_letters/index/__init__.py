"""SQLite indexes of topics: derived data, which is read again if the file is deleted."""

from hookseal.dead_letters.index.attempts import AttemptIndex
from hookseal.dead_letters.index.letters import LetterIndex

__all__ = ["AttemptIndex", "LetterIndex"]
