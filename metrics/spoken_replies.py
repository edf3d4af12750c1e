"""What a language model's answer means: yes, no, a refusal, or nothing that can be counted."""

from __future__ import annotations

import re

from unveil.harness.words.reply import Reply

LONGEST = 4_000  # characters beyond which nobody has answered with a word
THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
UNABLE = (
    r"(?:can ?not|can't|could not|couldn't|won't|will not|unable to|not able to|not allowed to|must not|"
    r"not permitted to)"
)
ABOUT = (
    "help|assist|identify|recogni[sz]e|compare|comply|answer|provide|fulfil|engage|analy[sz]e|process|discuss|"
    "do (?:that|this)|determine|tell|say|confirm|verify|make|perform|support|respond"
)
REFUSAL = re.compile(
    rf"\b{UNABLE}\b(?:\W+\w+){{0,3}}?\W+(?:{ABOUT})|\bi(?:'m| am) sorry\b|\bsorry,"
    r"|\bi (?:must |have to )?(?:decline|refuse)\b"
    r"|\bagainst (?:my|the|our) (?:policy|policies|guidelines|rules)\b"
)
IDIOMS = re.compile(r"no (?:problem|worries|doubt|one|way to|idea|clear|means)\b")
VERDICT = re.compile(r"(?:answer|verdict|conclusion|response|result|decision)\W+(?:is\W+|would be\W+)?(?:yes|no)\b")


def understood(text: str) -> Reply:
    """The reply that a text is.

    Yes or no counts where the text begins or ends with it, or names it as the answer, and says the other word nowhere.
    What sounds like a refusal is one, unless it says yes or no as well: then it is unclear.

    Example:
        >>> [understood(x).value for x in ("**Yes.**", "No, they differ.", "I can't help with that.", "Perhaps")]
        ['yes', 'no', 'refused', 'unclear']
    """
    plain = " ".join(THOUGHT.sub(" ", text).replace("\u2019", "'").lower().split())
    words = re.findall(r"[a-z]+(?:'[a-z]+)?", plain)
    if len(plain) > LONGEST:
        return Reply.UNCLEAR
    refuses, said = bool(REFUSAL.search(plain)), {"yes", "no"} & set(words)
    if len(said) != 1:
        return Reply.REFUSED if refuses and not said else Reply.UNCLEAR
    (word,) = said
    stated = word in (words[0], words[-1]) or VERDICT.search(plain) is not None
    if IDIOMS.search(plain):
        stated = False
    if refuses:
        return Reply.UNCLEAR if stated else Reply.REFUSED
    return Reply(word) if stated else Reply.UNCLEAR
