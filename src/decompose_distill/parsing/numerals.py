"""Words and signs that count: labels, letters, numerals, as models write them in many languages."""

import re

LABEL = (
    r"(?:(?:(?:smaller|simpler|simple|easier|intermediate|supporting|guiding|key|leading|next)\s)?"
    r"(?:sub[-_ ]?(?:questions?|problems?|quer(?:y|ies)|tasks?|steps?|goals?|q)|questions?"
    r"|queries|query|tasks?|problems?|inquir(?:y|ies))"
    r"|ques|steps?|parts?|items?|follow[- ]?ups?|hops?|stages?|phases?|sq|q|ｑ|Ｑ"
    r"|(?:teil|unter)?(?:frage|aufgabe)|schritt|(?:sous-)?(?:question|problème)|étape"
    r"|(?:sub)?(?:pregunta|problema)|paso|(?:sotto)?(?:domanda|problema)|passaggio"
    r"|(?:sub)?pergunta|passo|etapa|(?:под)?вопрос|шаг|(?:під)?(?:за)?питання|крок|(?:под)?въпрос"
    r"|(?:deel)?vraag|stap|(?:pod)?(?:pytanie|otázka)|krok|(?:alt )?soru|adım|(?:del)?fråga|steg"
    r"|(?:del)?spørgsmål|(?:del)?spørsmål|trin|(?:ala)?kysymys|vaihe|(?:rész)?kérdés|lépés"
    r"|(?:sub)?întrebarea?|pasul|(?:pot)?pitanje|korak|(?:пот)?питање|корак|стъпка|swali|hatua"
    r"|(?:υπο)?ερώτηση|βήμα|(?:sub[- ]?)?pertanyaan|langkah|tahap|soalan|câu hỏi|bước"
    r"|(?:ال)?سؤال(?: الفرعي)?|(?:ال)?(?:خطوة|مرحلة)|سوال|پرسش|گام|مرحله"
    r"|(?:תת[- ])?שאלה|שלב|צעד|(?:उप-?)?प्रश्न|चरण|कदम|(?:উপ-?)?প্রশ্ন|ধাপ"
    r"|கேள்வி|படி|ప్రశ్న|దశ|คำถาม(?:ที่|ย่อยที่)?|ขั้น(?:ตอน)?(?:ที่)?|(?:하위 ?)?질문|단계"
    r"|klausimas|jautājums|küsimus|(?:pod)?vprašanje|galdera|tanong|savol|sual|сұрақ|прашање"
    r"|pyetja|spurning|tambaya|հարց|კითხვა|ጥያቄ|પ્રશ્ન|ਪ੍ਰਸ਼ਨ|ಪ್ರಶ್ನೆ|ചോദ്യം|မေးခွန်း|សំណួរ|ຄຳຖາມ"
    r"|子?问题|子?問題|小[问題题]题?|步[骤驟]|(?:サブ)?質問|ステップ|小問|設問|問い?)"
)
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ORDINALS = (
    *("first", "second", "third", "fourth", "fifth"),
    *("sixth", "seventh", "eighth", "ninth", "tenth"),
)
# "First," and "the first" in other languages, by their places in the count; 0 goes on with it.
_OTHER_ORDINALS = {
    0: "then|next up|next|final(?:ly)?|last|and then|after that|luego|después|finalmente|por último"
    "|ensuite|puis|enfin|dann|danach|schließlich|zuletzt|depois|em seguida|por fim|poi|infine|затем"
    "|потом|наконец|ثم|أخيرا|أخيرًا|سپس|در نهایت|फिर|अंत में|然后|然後|接着|接下来|最后|最後|最後に"
    "|그다음|그런 다음|마지막으로|sonra|son olarak|następnie|potem|na koniec|vervolgens|ten slotte",
    1: "to (?:begin|start)(?: with)?|first of all|first off|first up|for starters|initially"
    "|primero|en primer lugar|premièrement|d['’]abord|tout d['’]abord|primeiro|primeiramente"
    "|erstens|zuerst|zunächst|prima|innanzitutto|во-первых|сначала|сперва|الأولى?|أولا|أول(?:اً|ًا)"
    "|اول|ابتدا|पहला|सबसे पहले|首先|第一|まず|먼저|첫째|önce|ilk olarak|najpierw|eerst|ten eerste",
    2: "segundo|en segundo lugar|deuxièmement|zweitens|secondo|во-вторых|الثانية?|ثانيا|ثاني(?:اً|ًا)"
    "|دوم|दूसरा|其次|第二|次に|둘째|ten tweede",
    3: "tercero|troisièmement|terceiro|drittens|terzo|в-третьих|الثالثة?|ثالثا|ثالث(?:اً|ًا)|سوم"
    "|तीसरा|第三|셋째",
    4: "cuarto|quatrièmement|quarto|viertens|в-четвёртых|الرابعة?|رابعا|رابع(?:اً|ًا)|चौथा|第四|넷째",
}
ORDINAL = "|".join((*ORDINALS, *_OTHER_ORDINALS.values()))
CHINESE = "一二三四五六七八九十"
ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
_ALPHABETS = (
    *("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    *("абвгдежзиклмнопрст", "АБВГДЕЖЗИКЛМНОПРСТ", "αβγδεζηθικ", "ΑΒΓΔΕΖΗΘΙΚ"),
    *(
        "가나다라마바사아자차카타파하",
        "アイウエオカキクケコ",
        "أبجدهوزحطي",
        "कखगघङचछजझञ",
        "甲乙丙丁戊己庚辛壬癸",
    ),
    *("אבגדהוזחטי", "აბგდევზთ", "աբգդեզէը", "กขคงจฉชซ"),
)
_DIGIT_SIGNS = (
    *("①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳", "⑴⑵⑶⑷⑸⑹⑺⑻⑼⑽⑾⑿⒀⒁⒂⒃⒄⒅⒆⒇", "⒈⒉⒊⒋⒌⒍⒎⒏⒐⒑⒒⒓⒔⒕⒖⒗⒘⒙⒚⒛"),
    *(
        "❶❷❸❹❺❻❼❽❾❿",
        "➀➁➂➃➄➅➆➇➈➉",
        "➊➋➌➍➎➏➐➑➒➓",
        "⓵⓶⓷⓸⓹⓺⓻⓼⓽⓾",
        "㈠㈡㈢㈣㈤㈥㈦㈧㈨㈩",
        "㊀㊁㊂㊃㊄㊅㊆㊇㊈㊉",
    ),
    *("ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩⅪⅫ", "ⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹⅺⅻ"),
    *("ⓐⓑⓒⓓⓔⓕⓖⓗⓘⓙ", "ⒶⒷⒸⒹⒺⒻⒼⒽⒾⒿ", "⒜⒝⒞⒟⒠⒡⒢⒣⒤⒥", "🅐🅑🅒🅓🅔🅕🅖🅗", "🄰🄱🄲🄳🄴🄵🄶🄷"),
)
_SIGNS = {sign: value for signs in _DIGIT_SIGNS for value, sign in enumerate(signs, start=1)}
LETTERS = {letter: i for letters in _ALPHABETS for i, letter in enumerate(letters, start=1)}
OTHER_PLACES = {"الف": (1,), "ا": (1,), "پ": (3,), "ت": (3, 4), "ث": (4, 5), "ج": (5, 6)}
"""Where letters stand in the orders of Persian and Arabic that are not that of the numerals."""
_VALUES = {
    **{word: i for words in (WORDS, ORDINALS) for i, word in enumerate(words, start=1)},
    **{numeral: i for i, numeral in enumerate(ROMAN, start=1)},
}
ANY_LETTER = "".join((*LETTERS, *(each for each in OTHER_PLACES if len(each) == 1)))
ANY_SIGN = "".join(_SIGNS)


def count_value(text: str) -> int:
    """The number that a numeral, a letter or a word counts, from 1; 0 if it counts nothing.

    Example:
        >>> count_value("十二"), count_value("③"), count_value("iv"), count_value("b")
        (12, 3, 4, 2)
    """
    digits = re.match(r"\d+", text)
    if digits:
        return int(digits[0])
    if text[0] in CHINESE:
        tens, ten, ones = text.rpartition("十")
        return (CHINESE.find(tens) + 1 or 1) * 10 * bool(ten) + CHINESE.find(ones) + bool(ones)
    return _SIGNS.get(text) or _VALUES.get(text.lower()) or LETTERS.get(text) or _ordinal(text)


def _ordinal(word: str) -> int:
    return next(
        (
            value
            for value, words in _OTHER_ORDINALS.items()
            if re.fullmatch(words, word, re.IGNORECASE)
        ),
        0,
    )
