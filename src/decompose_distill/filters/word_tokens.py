"""Words of a text, for comparing texts by what they say and not by how they are set."""

import re
import unicodedata

# Scripts without spaces between words: each sign is a word of its own.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|\d+(?:[.,]\d+)*|[^\W\d{_UNSPACED}]+")
_THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")


def words(text: str) -> list[str]:
    """Words and numbers without case, punctuation and thousands commas.

    Example:
        >>> words("Who paid $1,000 for Emma’s 2 cars?")
        ['who', 'paid', '1000', 'for', 'emma', 's', '2', 'cars']
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(_THOUSANDS.sub("", plain))
