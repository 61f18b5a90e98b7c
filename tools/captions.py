"""What a photo is called in training: its own words, and the word that shall mean the product."""

import re

#: What other trainers write where the trigger word is to stand.
PLACE = re.compile(r"\[trigger\]", re.IGNORECASE)


def caption(text: str | None, trigger_word: str) -> str:
    """Put the trigger word into a caption, exactly as it is written; a caption that has it stays as it is.

    A place that is kept for it is filled, another spelling of it is corrected, and else it comes first, where a text
    encoder that takes few words still sees it.
    """
    words = " ".join(PLACE.sub(trigger_word, text or "").split())
    spelt = re.sub(rf"(?<!\w){re.escape(trigger_word)}(?!\w)", trigger_word, words, flags=re.IGNORECASE)
    if re.search(rf"(?<!\w){re.escape(trigger_word)}(?!\w)", spelt):
        return spelt
    return f"{trigger_word}, {spelt}" if spelt else trigger_word
