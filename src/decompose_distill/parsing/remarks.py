"""What models say around a decomposition: opening and closing remarks, and that none is needed."""

import re

QUESTION_END = "?？؟‽⸮՞፧"
SENTENCE_END = f"{QUESTION_END}.!。！．।"
_QUOTES = "\"'”’“»」』)）]"
_SUB = r"sub[- ]?(?:questions?|problems?|tasks?|steps?)"

_OPENING = re.compile(
    r"\W*(?:sure\b|certainly|of course|absolutely|definitely|ok(?:ay)?\b|all ?right|great|good\b"
    r"|yes\b"
    r"|no problem|gladly|happy to|thanks?\b|here\b|here['’]s|below|(?:the )?following|these\b"
    r"|this\b"
    r"|(?:in order )?to \w+|let['’]?s\b|let (?:us|me)|we (?:can|need|could|should|must|have"
    r"|first|will)"
    r"|we['’]ll|i (?:would|will|can|could|need|have|am)\b|i['’](?:d|ll|m|ve)\b|you (?:asked|want"
    r"|need|can)"
    r"|first\b|for this|for the|as requested|break\w*|split\w*|decompos\w+|one (?:way|could|can)"
    r"|my\b"
    rf"|(?:the )?(?:original |main |given |complex )?(?:question|{_SUB}|decomposition|breakdown"
    rf"|steps|list)"
    r"|好的|当然|以下|下面|这里|這裡|让我们|首先|可以|はい|もちろん|以下|次の|물론|다음|네[,.]"
    r"|claro|por supuesto|aquí|para |voici|bien sûr|pour |natürlich|hier\b|gerne|um |ecco|certo"
    r"|per "
    r"|aqui|com certeza|конечно|вот\b|чтобы|بالتأكيد|إليك|فيما يلي|बिल्कुल|यहाँ|ज़रूर)",
    re.IGNORECASE,
)
_LEAD_SENTENCE = re.compile(
    r"\W*(?:sure\b|certainly|of course|absolutely|definitely|ok(?:ay)?\b|all ?right\b"
    r"|great(?:\W*$|!|,| question)"
    r"|no problem|gladly|thanks?\b|here (?:you go|they are|it is|it goes|we go)"
    r"|here (?:is|are) (?:\w+ ){0,3}(?:sub|questions?\b|decomp|break|steps?\b|way\b|list\b)"
    r"|here['’]s (?:how|the|one|my|a)\b"
    r"|(?:let me|let['’]?s|i (?:would|will|can)|i['’](?:d|ll)) (?:\w+ )?(?:ask|split|break"
    r"|decompose|start|begin|help|do)\b"
    r"|you asked\b|(?:good|nice|interesting) question"
    r"|好的|当然|可以|はい|もちろん|물론|네\b|claro\b|por supuesto|aquí (?:están|tienes)|voici"
    r"|bien sûr|natürlich|gerne"
    r"|ecco|certo\b|aqui est|com certeza|конечно|вот\b|بالتأكيد|إليك|ज़रूर)",
    re.IGNORECASE,
)
_LEAD_COLON = re.compile(rf"[^:：{SENTENCE_END}\n]*[:：](?!\d)\s*(?=\S)")
_LEAD_PHRASE = re.compile(
    r"\W*(?:(?:and |so |then |to \w+ (?:this|that|it)\b.*)?(?:we|i|you"
    r"|one)(?:['’]\w+)? (?:\w+ ){0,3}?"
    r"(?:ask|need|know|find|answer|determine|figure|solve|split|break)\b.*"
    r"|(?:in order )?to (?:answer|solve|find|work"
    r"|determine|figure|get|calculate|compute|know)\b.*|(?:the |these |my |some |two |three "
    r"|only |just |one |a |single |following |simpler "
    rf"|smaller )*(?:{_SUB}|questions|steps|decomposition|breakdown|following)(?: (?:are|is"
    rf"|would be|to \w+|for \w+"
    r"|needed|below|could be)\b.*)?|first|next|then|finally|ask|step by step|output|answer"
    r"|.*(?:问题|问|以下|下面|質問"
    r"|질문|preguntas|domande|questions|fragen|teilfragen|perguntas|вопросы|أسئلة"
    r"|प्रश्न).{0,12})\s*[:：]\s*",
    re.IGNORECASE | re.DOTALL,
)
_ASKS_READER = re.compile(
    r"[\W_]*(?:(?:sorry|apologies|ok(?:ay)?|sure|so|and|also)[,.! ]+)?"
    r"(?:(?:would|do) you (?:like|prefer|want) (?:me|to|help|more|any|another|it|them|the"
    r"|us)\b"
    r"|do you (?:need|have) (?:any|more|further|help|another)|shall (?:i|we)\b|may i\b|want me to"
    r"|should i (?:go|solve|answer|continue|proceed|also|now|split|explain|break)"
    r"|can i (?:help|assist|answer)|(?:can|could|would|will) you (?:please |kindly )?"
    r"(?:provide|clarify|rephrase|share|give|specify|tell|confirm|explain|let me)"
    r"|(?:would|will|could|can) (?:this|that|these|it) (?:be (?:ok|helpful|useful|what you)|help\b)"
    r"|(?:does|do) (?:this|that|these) (?:help|work for|make sense|look|sound|answer)"
    r"|did (?:this|that|these) help|is (?:this|that) (?:what you|helpful|ok\b|okay|clear|fine"
    r"|all right)"
    r"|is there anything|anything else|need (?:any )?(?:more|further) help|any (?:other "
    r"|further )?questions"
    r"|what do you think|how (?:does|do) (?:this|that|these) (?:sound|look)|ready to (?:go|start"
    r"|solve)"
    r"|需要我|是否需要我|お手伝い|도와드릴|¿?(?:quieres|quiere|te gustaría|le gustaría|desea) que"
    r"|(?:souhait|voul)ez-vous que|veux-tu que|möchte(?:n sie|st du),? dass|soll ich\b|vuoi che"
    r"|quer que"
    r"|gostaria que|хотите,? чтобы|هل تريد أن)",
    re.IGNORECASE,
)
_TELLS_READER = re.compile(
    r"[\W_]*(?:(?:please |just |so |also |and )?let me know|(?:please )?feel free"
    r"|(?:i )?hope (?:this|that|it|these)"
    r"|(?:i['’]m|i am|i['’]d be) (?:sorry|happy|glad|afraid|unable)|sorry\b|happy to|glad to"
    r"|good luck"
    r"|thanks?\b|thank you|i can(?:no|['’])t\b|i cannot|i can (?:also|help|now|answer|solve)"
    rf"|(?:these|those|the|all|both) (?:two |three |four |five |above |following )?{_SUB}\b"
    r"|these (?:two |three |four |five )?(?:questions|steps)|this (?:decomposition|breakdown"
    r"|list|way)\b"
    r"|answering (?:these|them|those|each|all)|by answering|together,? (?:these|they|the answers)"
    r"|once (?:you|we|these|those|they|all)|with (?:these|those) (?:answers|questions|steps)"
    r"|that['’]s (?:all|it)\b|that is all|no further|if you (?:would|want|need|like|have|prefer)"
    r"|if you['’]d"
    r"|should you (?:need|want|have)|希望(?:这|对|能)|如果(?:你|您)(?:需要|想|愿意|还)|请告诉我"
    r"|お役に|必要であれば"
    r"|도움이|필요하시면|espero que|avísame|j['’]espère|n['’]hésite|ich hoffe|sag(?:en sie)? mir"
    r"|spero"
    r"|fammi sapere|надеюсь|дайте знать|آمل)",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\W*(?:this|that|these|those|they|together|answering|combin\w+|using|once|with|after|now"
    r"|then|finally"
    r"|lastly|so|thus|therefore|hence|note|in (?:summary|short|total|this|conclusion)|each|all|both"
    r"|the (?:answers?|final|results?|last|original|main|sub)|(?:final )?answer|no\b|we\b|i\b"
    r"|you\b|if\b"
    r"|here\b|by\b|to (?:answer|solve|find|get|determine)|good luck|solving|from\b|since|because"
    r"|it\b"
    r"|这|以上|通过|最后|因此|所以|これ|以上|이|estas|con |esto|ces |avec |diese|damit|mit |queste|"
    r"essas|эти|так|هذه|بهذ)",
    re.IGNORECASE,
)

_ADDED = re.compile(
    rf"(?<=[{QUESTION_END}])[\"'”’»」』]?\s*(?:[(\[（*_]{{0,3}}(?:answer|ans|a|reason|rationale|purpose|why|note"
    r"|hint|explanation|result|response|antwort|respuesta|réponse|risposta|resposta|ответ|答案?|答え"
    r"|정답|답|الجواب|الإجابة|उत्तर|depend(?:s on|ency|encies)|requires)\s?\d{0,2}[*_]{0,2}\s*[:：=]"
    r"|→|⇒|->|=>|[-–—]{1,2}\s+(?=(?-i:[a-z]))|\((?:this|needed|required|because|so that"
    r"|to (?:find|get|know|compare))\b[^()]*\)\Z)",
    re.IGNORECASE,
)

_NEEDED = (
    r"(?:need(?:ed|s)?|necessary|required|possible|applicable|useful|worth\w*|called for|helpful)"
)
_SPLITTING = (
    r"(?:decompos\w+|split\w*|subdivid\w+|divid\w+|break\w*(?: \w+){0,3} (?:down|up|into|apart))"
)
_SPLIT = (
    r"(?:decomposed|split|subdivided|divided|simplified|broken(?: \w+){0,2} (?:down|up|into|apart))"
)
_PARTS = rf"(?:decomposition|{_SUB}|break-?down|splitting)"
_DECLINES = re.compile(
    rf"\bno[ _-](?:further |more |additional |other )?(?:question )?{_PARTS}"
    rf"(?:\W*$|[\"'”’»*_]*\s*[,:;–—(-]|\W*(?:(?:is|are|was|were|seems?|appears?) )?"
    rf"(?:really |strictly "
    rf"|to be )?{_NEEDED}\b"
    r"|\s+(?:here|for (?:this|that|it|such)|at all|to (?:be )?\w+|as|because|since|can|could"
    r"|should)\b)"
    rf"|\b(?:no need|not necessary|unnecessary|not needed|need not|no reason"
    rf"|not required) to (?:be )?"
    rf"(?:further )?(?:{_SPLITTING}|{_SPLIT})"
    rf"|\bno need (?:for|of) (?:any |a |further )?{_PARTS}|\bwithout (?:any |further )?{_PARTS}"
    rf"|(?:not|n['’]t|cannot|never) (?:\w+ ){{0,5}}?be (?:\w+ )?{_SPLIT}\b|\bnot decomposable"
    rf"|\b(?:i|we|one) (?:would|will|do|should|can|need)(?: ?not|n['’]t) (?:\w+ )?{_SPLITTING}"
    rf"|(?:\bnot|n['’]t|\bwithout) (?:\w+ )?(?:need|require|have|call for)\w* (?:any |further "
    rf"|to be )*(?:{_PARTS}|{_SPLIT})"
    rf"|\b{_PARTS}\W+(?:(?:is|are|was|seems) )?(?:not |un)(?:really |strictly )?{_NEEDED}"
    rf"|\b{_PARTS}(?: needed| required)?\W+(?:none|no|n/a|not applicable|false|null|nothing)"
    rf"(?: {_NEEDED})?\W*$"
    rf"|(?:\bnot|n['’]t) (?:think|believe|see (?:why|that|how)) (?:\w+ ){{0,3}}?"
    rf"(?:{_PARTS}|{_SPLITTING})"
    rf"(?: \w+){{0,2}}? {_NEEDED}"
    r"|无需(?:进一步)?(?:分解|拆分)|不(?:需要|必|用)(?:进一步)?(?:分解|拆分)|没有必要(?:分解"
    r"|拆分)|分解(?:不要|は不要)|分解(?:する|の)必要は"
    r"|분해(?:가|는)? ?(?:필요 ?없|필요하지 ?않|불필요)|keine (?:weitere )?(?:zerlegung|aufteilung)"
    r"|(?:aucune|pas de) (?:décomposition|sous-question)|sin descomposición"
    r"|no (?:se |es )?(?:necesita|requiere|hace falta|necesari[oa])\w* (?:\w+ )?descomp\w+"
    r"|nessuna (?:scomposizione|decomposizione)"
    r"|sem decomposição|não (?:precisa|necessita|é necess\w+) (?:\w+ )?(?:decomp\w+)"
    r"|(?:декомпозиция|разбиение|разложение) не (?:нужн|требуется)\w*|لا (?:حاجة|داعي) (?:إلى "
    r"|ل)?(?:ال)?(?:تقسيم|تفكيك)",
    re.IGNORECASE,
)
_FURTHER = re.compile(r"\bfurther\b|进一步|weitere", re.IGNORECASE)
_IS_SIMPLE = re.compile(
    r"^\W*(?:none|n/?a|not (?:needed|necessary|required|applicable)|nothing to (?:split"
    r"|decompose))\W*$"
    r"|\bcan be (?:answered|solved) (?:directly|at once|immediately|as it is|in (?:one|a single))"
    r"|(?:\bis|['’]s) (?:already |just |only )?(?:a |an )?(?:simple enough|atomic|single[- ]step"
    r"|one[- ]step|single question)",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:if|whether|unless|otherwise|when)\b", re.IGNORECASE)
_CONTRAST = re.compile(
    r"\b(?:but|however|still|though|nevertheless|nonetheless|yet|anyway)\b", re.IGNORECASE
)
_SENTENCE = re.compile(rf"[^{SENTENCE_END}\n]*(?:[{SENTENCE_END}]+[{_QUOTES}*]*|\n|$)")


_MAIN_QUESTION = re.compile(
    r"(?:the\s+)?(?:main|original)\s+question\b"
    r"|(?:in order )?to (?:answer|solve)\b[^\"“?]{0,40}[\"“][^\"”]*[\"”],?\s*\Z",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"(?:how|wh(?:at|om?|ose|ich|en|ere|y)|is|are|was|were|do|does|did|can|could|ha[sd]|have)\s",
    re.IGNORECASE,
)


def is_question(text: str) -> bool:
    """Whether a text ends as a question does.

    Example:
        >>> is_question("Is #1 above 9?"), is_question('"多少钱？"'), is_question("Add them.")
        (True, True, False)
    """
    end = text.rstrip(f" {_QUOTES}*_.。")
    return end[-1:] in tuple(QUESTION_END) or end.endswith(("か", "呢")) or _is_greek(end)


def asks_bare(line: str) -> bool:
    """Whether a line is a question whose mark is missing.

    Example:
        >>> asks_bare("how old is Ada"), asks_bare("It is how old she is")
        (True, False)
    """
    parted = line.endswith((":", "：")) or any(end in line for end in (". ", ": ", "? "))
    return bool(_ASKING.match(line)) and not parted


def is_main_question(text: str) -> bool:
    """Whether a text only repeats the question that is split.

    Example:
        >>> is_main_question("Main question: Is she?"), is_main_question('To solve "Is she?"')
        (True, True)
    """
    return bool(_MAIN_QUESTION.match(text))


def is_opening(line: str) -> bool:
    """Whether a line leads to the subquestions, as "Sure! Here they are:" does."""
    return line.endswith((":", "：")) or bool(_OPENING.match(line))


def is_closing(line: str) -> bool:
    """Whether a line only rounds off what stands before it."""
    return is_to_reader(line) or bool(_CLOSING.match(line)) or _declines(line)


def is_to_reader(sentence: str) -> bool:
    """Whether a sentence speaks to the reader, and so asks nothing about the question.

    Example:
        >>> is_to_reader("Shall I solve them?"), is_to_reader("If you have 3, how many are left?")
        (True, False)
    """
    pattern = _ASKS_READER if is_question(sentence) else _TELLS_READER
    return bool(pattern.match(sentence))


def without_remarks(text: str) -> str:
    """A text without the sentences at its end, save the first of all, that speak to the reader.

    Example:
        >>> without_remarks("How old is Ada? I hope this helps. Shall I go on?")
        'How old is Ada?'
    """
    parts = [sentence for sentence in _SENTENCE.finditer(text) if sentence[0].strip()]
    while len(parts) > 1 and is_to_reader(parts[-1][0]):
        parts.pop()
    return text[: parts[-1].end()].strip() if parts else text


def without_answer(text: str) -> str:
    """A question without the answer, the reason or the arrow that a model adds behind its mark.

    Example:
        >>> without_answer("How old is Ada? Answer: 36"), without_answer("Who? -> needed first")
        ('How old is Ada?', 'Who?')
    """
    added = _ADDED.search(text)
    return text[: added.start()].strip() if added and not is_question(text) else text


def without_opening(text: str) -> str:
    """A question without the remark that leads to it.

    Example:
        >>> without_opening("Sure! We ask first: How old is Ada?"), without_opening("At 9: who?")
        ('How old is Ada?', 'At 9: who?')
    """
    start = 0
    while sentence := _lead(text, start):
        start = sentence.end()
    return text[start:].strip()


def _lead(text: str, start: int) -> re.Match[str] | None:
    colon = _LEAD_COLON.match(text, start)
    if colon and (_LEAD_SENTENCE.match(colon[0]) or _LEAD_PHRASE.fullmatch(colon[0][-200:])):
        return colon
    sentence = _SENTENCE.match(text, start)
    if sentence and sentence[0].strip() and sentence.end() < len(text):
        return (
            sentence if _LEAD_SENTENCE.match(sentence[0]) and not is_question(sentence[0]) else None
        )
    return None


def declines(text: str) -> bool:
    """Whether some sentence says that the question needs no decomposition.

    Example:
        >>> declines("This question needs no decomposition."), declines("No decomposition of what?")
        (True, False)
    """
    sentences = (sentence[0] for sentence in _SENTENCE.finditer(text) if sentence[0].strip())
    return any(
        _declines(sentence) and not (i and _FURTHER.search(sentence))
        for i, sentence in enumerate(sentences)
    )


def is_simple(text: str) -> bool:
    """Whether a text that holds no subquestions says why: the question is a simple one."""
    return bool(_IS_SIMPLE.search(text))


def is_contrast(text: str) -> bool:
    """Whether a text takes back what stands before it ("but here they are")."""
    return bool(_CONTRAST.search(text))


def _declines(sentence: str) -> bool:
    if is_question(sentence) or _CONDITION.search(sentence):
        return False
    return bool(_DECLINES.search(sentence))


def _is_greek(text: str) -> bool:
    return text.endswith((";", "\u037e")) and any("\u0370" <= letter <= "\u03ff" for letter in text)
