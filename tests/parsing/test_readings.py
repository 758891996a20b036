"""What is read of short texts, each of which another reading of a detail would get wrong."""

import time
from contextlib import suppress

import pytest

from decompose_distill import ParseError
from decompose_distill.parsing import read_decomposition

A, B = "How old is Ada?", "How old is Bob?"

ONE_LINE = {
    f"**1.** {A} **2.** {B}": [A, B],
    f"**1. {A}** **2. {B}**": [A, B],
    f"1. {A} and 2. how old is Bob?": [A, "how old is Bob?"],
    f"Sure: ① {A} ② {B}": [A, B],
    f"Two of them: (1) {A} and (2) {B}": [A, B],
    f"[{A}, {B}]": [A, B],
    "① find Ada's age ② find Bob's age": ["find Ada's age", "find Bob's age"],
    "1) find x 2) find y": ["find x", "find y"],
    "1. find x 2. find y": ["find x", "find y"],
    f"Q1 {A} Q2 {B}": [A, B],
    "Is it (a) red? (b) blue?": ["Is it (a) red?", "(b) blue?"],
    "Step 1: Find x. Step 2: Find y.": ["Find x.", "Find y."],
    f"Ask: 1 {A} 2 {B}": [f"1 {A}", f"2 {B}"],
    f"1 - {A} 2 - {B}": [A, B],
    f"2. {A} 3. {B}": [A, B],
    f"I. {A} II. {B}": [A, B],
    "1. Who? 3. Why?": ["Who? 3. Why?"],
    f"Two: (1) {A} (2) Is 5 or (1) right?": [A, "Is 5 or (1) right?"],
    f"* {A} * {B}": [A, B],
    f"- {A} - {B}": [A, B],
    f"Two: - {A}\n- {B}": [A, B],
    f"Sure. 1. {A} 2. {B}": [A, B],
    "Sure: ① find x. ② find y.": ["find x.", "find y."],
    "Is Ada old? Is Bob old? Is he?": ["Is Ada old?", "Is Bob old?", "Is he?"],
    "Sure! Is Ada old? Is Bob old?": ["Is Ada old?", "Is Bob old?"],
    "Who said “why?” and left?": ["Who said “why?” and left?"],
    "Who said “why?” Is it so?": ["Who said “why?”", "Is it so?"],
    "He asks (who?) and we ask: why?": ["He asks (who?) and we ask: why?"],
    "Would you like more? Who is Ada?": ["Who is Ada?"],
    "Main question: who pays? Who is Ada?": ["Who is Ada?"],
}
MARKS = {
    f"A. {A}\nB. {B}": [A, B],
    "A. Lincoln was born when?\nWho was he?": ["A. Lincoln was born when?", "Who was he?"],
    "First, who is Ada?\nNext, who is Bob?\nFinally, who won?": [
        *("who is Ada?", "who is Bob?", "who won?")
    ],
    "Then who?\nWho?": ["Then who?", "Who?"],
    "2.1 Who?\n2.2 Why?": ["Who?", "Why?"],
    "1 Who is it?\n2 Who was it?": ["Who is it?", "Who was it?"],
    "1 ticket costs what?\nWhat do 2 cost?": ["1 ticket costs what?", "What do 2 cost?"],
    "- 1 ticket costs what?\n- What do 2 cost?": ["1 ticket costs what?", "What do 2 cost?"],
    "Q: Who?\nQ: Why?": ["Who?", "Why?"],
    "2) Who?\n3) Why?": ["Who?", "Why?"],
    "1. Who?\n1. Why?\n1. When?": ["Who?", "Why?", "When?"],
    "1. Who?\n  a. Why?\n  b. When?": ["Who?", "Why?", "When?"],
    "十. Who?": ["Who?"],
    "第十二步：多少？": ["多少？"],
    "十一、Who?\n十二、Why?\n二十、When?\n二十一、Where?": ["Who?", "Why?", "When?", "Where?"],
    "1st, who is Ada?\n2nd, who is Bob?": ["who is Ada?", "who is Bob?"],
    f"🎈 {A}\n🎈 {B}": [A, B],
    f"⦿ {A}\n⦿ {B}": [A, B],
    f"[ ] {A}\n[ ] {B}": [A, B],
    f"1 > {A}\n2 > {B}": [A, B],
    f"1~ {A}\n2~ {B}": [A, B],
    "1 > 0 is so?\n2 > 1 is so?": ["1 > 0 is so?", "2 > 1 is so?"],
    f"The first subquestion is: {A}\nThe second subquestion is: {B}": [A, B],
    "First off, who is Ada?\nNext up, who is Bob?": ["who is Ada?", "who is Bob?"],
    "أولاً: من؟\nثانياً: متى؟\nثالثًا: أين؟": ["من؟", "متى؟", "أين؟"],
    "1° Quel âge a Ada ?\n2° Quel âge a Bob ?": ["Quel âge a Ada ?", "Quel âge a Bob ?"],
    "20° is how much in F?\nIs it warm?": ["20° is how much in F?", "Is it warm?"],
    "الف) چند؟\nب) کی؟\nپ) کجا؟\nت) چرا؟": ["چند؟", "کی؟", "کجا؟", "چرا؟"],
    "أ) من؟\nب) متى؟\nت) أين؟\nث) لماذا؟": ["من؟", "متى؟", "أين؟", "لماذا؟"],
    "أ) من؟\nب) متى؟\nج) أين؟\nد) لماذا؟": ["من؟", "متى؟", "أين؟", "لماذا؟"],
    "Запитання 1: Хто?\nЗапитання 2: Чому?": ["Хто?", "Чому?"],
    "Klausimas 1: Kas?\nKlausimas 2: Kodėl?": ["Kas?", "Kodėl?"],
    "- [ ] 1. Who?\n- [x] 2. Why?": ["Who?", "Why?"],
    "# 1. Who?\n# 2. Why?": ["Who?", "Why?"],
    "12. Who?\n13. Why?": ["Who?", "Why?"],
    "ⅳ Who?\nⅴ Why?": ["Who?", "Why?"],
    "1.a) Who?\n1.b) Why?": ["Who?", "Why?"],
    "1 | Who?\n2 | Why?": ["Who?", "Why?"],
    "o Who?\no Why?": ["Who?", "Why?"],
    "1.5 km are how many m?\nWhy?": ["1.5 km are how many m?", "Why?"],
    "Step one: who?\nStep two: why?": ["who?", "why?"],
    "IV. Who?\nV. Why?": ["IV. Who?", "V. Why?"],
    "1. The parts\n2. The whole\n   2.1 What do all cost?": ["The parts", "What do all cost?"],
    "1. Who?\n2. Why?\n2.1 When?\n2.2 Where?": ["Who?", "Why?", "When?", "Where?"],
    "2.5米长吗？\n多少？": ["2.5米长吗？", "多少？"],
    "1.14名学生需要多少张票？\n2.3名呢？": ["14名学生需要多少张票？", "3名呢？"],
    "Then, who won?\nWho lost?": ["Then, who won?", "Who lost?"],
    "1A. Who?\n1B. Why?": ["Who?", "Why?"],
    "**a)** Who?": ["Who?"],
    "b) Who?": ["b) Who?"],
    "(i) Who?": ["Who?"],
    "i) Who?\nii) Why?\niii) When?": ["Who?", "Why?", "When?"],
    "X. Who?\nY. Why?": ["X. Who?", "Y. Why?"],
    "> - Who?\n> - Why?": ["Who?", "Why?"],
}
LINES = {
    f"## Reasoning\n1. We add.\n2. We count.\nSubquestions:\n1. {A}\n2. {B}": [A, B],
    f"{A}\n{B}\nMain question: how much do they pay?": [A, B],
    f"1. Find ages.\n 2. {A}": ["Find ages.", A],
    "1. Find x.\n   2. How much is it?\n      3. Is it more?": [
        *("Find x.", "How much is it?", "Is it more?")
    ],
    "1. How many points is it?\n2. Question 1: is it harder?": [
        *("How many points is it?", "Question 1: is it harder?")
    ],
    "1. How old is the\niPhone of Ada?": ["How old is the iPhone of Ada?"],
    "how old is Ada\nhow old is Bob": ["how old is Ada", "how old is Bob"],
    f"{A}\nNo decomposition of that is needed.\n{A}": [A, A],
    "Ferry times are:\nhow old is Ada\nhow old is Bob": ["how old is Ada", "how old is Bob"],
    f"No decomposition is needed, but here:\n{A}\n{B}": [],
    "Ferry times are：\nhow old is Ada\nhow old is Bob": ["how old is Ada", "how old is Bob"],
    "Prices of ferries：\n1. Who?": ["Who?"],
    "Ποιος είναι\u037e\nΠόσο κάνει;": ["Ποιος είναι\u037e", "Πόσο κάνει;"],
    "1. Prices\n   - Who?\n   - Why?\n2. When?": ["Who?", "Why?", "When?"],
    "1. Who?\n   1.1 Why?": ["Who?", "Why?"],
    "- Prices\n  - Who?\n- Why?": ["Who?", "Why?"],
    "- Who?\n  - Why?": ["Who?", "Why?"],
    "1. **Prices:**\n   Who?\n2. **Counts:**\n   Why?": ["Who?", "Why?"],
    "1. Who is\nthe captain\nof it?\n2. Why?": ["Who is the captain of it?", "Why?"],
    "1. Find x\nthen add it\n2. Find y": ["Find x then add it", "Find y"],
    "1. Find x.\n   Is it more?\n2. Find y.": ["Find x. Is it more?", "Find y."],
    "1. Of a pear, 2. plums and figs, which is red?\n2. Which is blue?": [
        *("Of a pear, 2. plums and figs, which is red?", "Which is blue?")
    ],
    "1. Which is it?\n(A) sand (B) clay (C) chalk\n2. Why?": [
        *("Which is it? (A) sand (B) clay (C) chalk", "Why?")
    ],
    "1. Which is it?\n   a) sand\n   b) clay\n2. Why?": ["Which is it? a) sand b) clay", "Why?"],
    f"1. {A}\n2. {B}\n\nQuestion: Who won?\nSubquestions:\n1. Who played?\n2. Who lost?": [A, B],
    f"1. {A}\n2. {B}\nExample 2:\nWho won the game?\n1. Who played?": [A, B],
    f"Question: Who is older?\n1. {A}\n2. {B}\nQuestion: Who won?\n1. Who played?": [A, B],
    f'q1 = "{A}"\nq2 = "{B}"': [A, B],
    f'ask("{A}")\nask("{B}")': [A, B],
    f"a1 = self.ask('{A}')\na2 = self.ask('{B}', [a1])": [A, B],
    f'1. ask(question="{A}")\n2. ask(question=f"{B}")': [A, B],
    '1. What does print("a b") do?\n2. Why?': ['What does print("a b") do?', "Why?"],
    f'To answer the question "Who is older?", we need to know: "{A}", "{B}"': [A, B],
    f'To solve "Who is older?", we first ask: "{A}", "{B}"': [A, B],
    f"What we need to find out:\n{A}\n{B}": [A, B],
    f"## {A}\n## {B}": [A, B],
    f"{A} and then {B}": [A, B],
    f"==Step 1== {A}\n==Step 2== {B}": [A, B],
    "1. Is a == b and b == c?\n2. Why?": ["Is a == b and b == c?", "Why?"],
}
QUOTED = {
    f'1. "{A}",\n2. "{B}"': [A, B],
    '1. "Is "Emma" good?"': ['Is "Emma" good?'],
    '1. "Who" wrote "Emma"': ['"Who" wrote "Emma"'],
    "1. “Who” is it?": ["“Who” is it?"],
    "1. 'tis late?": ["'tis late?"],
    "1. «Who?»\n2. 「Why?」\n3. ‘When?’": ["Who?", "Why?", "When?"],
    "1. How old is Ada?*": [A],
    "1. Is it 5* or 6*?": ["Is it 5* or 6*?"],
    "1. Q: Who?\n2. Question: Why?\n3. Sub-question: When?": ["Who?", "Why?", "When?"],
    "1. Who?; and\n2. Why? ->\n3. When?,": ["Who?", "Why?", "When?"],
    "1. Who?;\n2. Why?.": ["Who?", "Why?"],
    f"1. {A} (depends on: none)\n2. {B} [requires: 1]": [A, B],
    f"1. {A} (needed to compare)\n2. {B} (this gives the other age)": [A, B],
    "1. How old is Ada (in years)?\n2. Who is it (this man)?": [
        *("How old is Ada (in years)?", "Who is it (this man)?")
    ],
    f"1. {A} — needed to compare.\n2. {B} — the other age": [A, B],
    "1. Is it Ada - or Bob?": ["Is it Ada - or Bob?"],
    f"Q1: {A} A1: 12\nQ2: {B} A2: 30": [A, B],
}
DECLINED = {
    "The question is atomic.": [],
    "none": [],
    "N/A": [],
    "It can be answered directly.": [],
    "1. No decomposition needed.": [],
    "No decomposition: but here they are:\n1. Who?\n2. Why?": ["Who?", "Why?"],
    "No decomposition is needed, however:\n1. Who?\n2. Why?": ["Who?", "Why?"],
    "Who?\nNo further decomposition is needed.": ["Who?"],
    "This question doesn't require decomposition.": [],
    "This can be answered without decomposition.": [],
    "1. Can it be answered without decomposition?": ["Can it be answered without decomposition?"],
    "It's a one-step question.": [],
    "I don't think that a decomposition is needed.": [],
}
JSON = {
    f'Sure: ["{A}", "{B}"]': [A, B],
    '{"subquestions": []}': [],
    "[]": [],
    '{"subquestions": null}': [],
    '{"questions": ""}': [],
    '{"needs_decomposition": false, "subquestions": []}': [],
    '{"subquestions": "none"}': [],
    f'{{"plan": ["{A}"]}}': [A],
    f'{{"steps": "{A}"}}': [A],
    f'{{"step": "{A}"}}': [A],
    f'{{"1.": "{A}", "2)": "{B}"}}': [A, B],
    f'{{"q1": "{A}", "q2": "{B}", "note": "x"}}': [A, B],
    f'{{"SQ 1": "{A}", "SQ 2": "{B}"}}': [A, B],
    f'{{"{A}": "9", "{B}": "7"}}': [A, B],
    f'{{"title": "{A}"}}': [A],
    f'[{{"title": "Ages", "question": "{B}"}}]': [B],
    f'{{"a": {{"b": ["{A}"]}}}}': [A],
    f'{{"question": "{A}"}}\n{{"question": "{B}"}}': [A, B],
    f'{{"question": "{A}"}},\n{{"question": "{B}"}}': [A, B],
    "['How old is Ada?', 'How old is Bob\\'s son?']": [A, "How old is Bob's son?"],
    "['Is Ada's son old?', 'Why?']": ["Is Ada's son old?", "Why?"],
    f'["Is \\"Emma\\" old?", "{B}"]': ['Is "Emma" old?', B],
    f'["{A}", // so\n"{B}"]': [A, B],
    f'"1. {A}\\n2. {B}"': [A, B],
    f'"[\\"{A}\\"]"': [A],
    f'"{A}"': [A],
    '"Is \\"Emma\\" old?"': ['Is "Emma" old?'],
    **{f'```{name}\n["{A}"]\n```': [A] for name in ("json", "xml", "html", "python", "text")},
    f'```Markdown\n["{A}"]\n```': [A],
    f'subquestions: ["{A}", "{B}"': [A, B],
    f'{{"subquestions": ["{A}", "{B}", }}': [A, B],
    f'{{"question": "{A}", "x": }}, {{"question": "{B}"}}': [A, B],
    f'["{A}"]\n\n["{B}"]': [A, B],
    f'["{A}", 5, null, "{B}"]': [A, B],
    f'[" ", "{A}"]': [A],
    f"[“{A}”, “{B}”]": [A, B],
    '{"subquestions": [["Who?"], ["Why?"]]}': ["Who?", "Why?"],
    f'`["{A}", "{B}"]`': [A, B],
    f'[{{"subq": "{A}"}}, {{"subq": "{B}"}}]': [A, B],
    f'[{{"n": 0, "asks": "{A}", "why": "so"}}, {{"n": 1, "asks": "{B}", "why": "so"}}]': [A, B],
    f"const subquestions = [`{A}`, `{B}`];": [A, B],
    f'return ["{A}", "{B}"]': [A, B],
    f'print(["{A}", "{B}"])': [A, B],
    'What does max(["a", "b"]) give?': ['What does max(["a", "b"]) give?'],
    f'1. {{"subquestion": "{A}"}}\n2. {{"subquestion": "{B}"}}': [A, B],
}
TAGS = {
    "<q>Who?\n<q>Why?": ["Who?", "Why?"],
    "<li>Who?<li>Why?</li>": ["Who?", "Why?"],
    "<li>Who?</li>": ["Who?"],
    "<q>Who?": ["<q>Who?"],
    "<step><text>Who?</text><why>x</why></step>": ["Who?"],
    "<questions><q>Who is <b>Ada</b>?</q></questions>": ["Who is Ada?"],
    "<q>Is 3 &lt; 4?</q>": ["Is 3 < 4?"],
    "<q></q><q>Who?</q>": ["Who?"],
    "<p>Who?</p>": ["Who?"],
    "<question id='1'>Who?</question>": ["Who?"],
    "<step>1. Who?</step><step>2. Why?</step>": ["Who?", "Why?"],
    "<task><description>Who?</description></task>": ["Who?"],
    "<S1>Who?</S1>": ["Who?"],
    "<sub-question>Who?</sub-question>": ["Who?"],
    "<sub>Who is it?</sub>\n<sub id='2'>Is it so?</sub>": ["Who is it?", "Is it so?"],
    "1. What is H<sub>2</sub>O?\n2. Why?": ["What is H<sub>2</sub>O?", "Why?"],
}
TABLES = {
    "| Question | Note |\n|---|---|\n| Who? | a |\n| Find it | b |": ["Who?", "Find it"],
    "| A | B |\n|:-:|--|\n| Who? | x |\n| Why | y? |": ["Who?", "Why"],
    "| Step | Task |\n|---|---|\n| 1 | Find the price |\n| 2 | Add them |": [
        *("Find the price", "Add them")
    ],
    "| Q |\n|---|\n| Is a \\| b? |": ["Is a | b?"],
    "| # | Question |\n|---|---|\n| 1 |\n| 2 | Why? |": ["Why?"],
    "# | Question\n--|--\n1 | Who?\n2 | Why?": ["Who?", "Why?"],
    'id,subquestion\n1,"Who, then?"\n2,Find it': ["Who, then?", "Find it"],
    "```csv\nstep;question;note\n1;Who?;x\n2;Why?;y\n```": ["Who?", "Why?"],
    "step\tquestion\n1\tWho?\n2\tWhy?": ["Who?", "Why?"],
}


@pytest.mark.parametrize("texts", [ONE_LINE, MARKS, LINES, QUOTED, DECLINED, JSON, TAGS, TABLES])
def test_a_text_holds_these_subquestions_and_nothing_else(texts: dict[str, list[str]]) -> None:
    read = {text: read_decomposition(text) for text in texts}

    assert {text: [step.text for step in read[text].subquestions] for text in texts} == texts
    assert not {text: it.leftover for text, it in read.items() if it.leftover}


@pytest.mark.parametrize(
    ("text", "items", "leftover"),
    [
        (
            "1. Find Ada's age\n\nThe ferry runs daily\n2. Find Bob's age",
            ["Find Ada's age", "Find Bob's age"],
            "The ferry runs daily",
        ),
        (f"{A} - {B} – Who is older?", [A, B, "Who is older?"], ""),
        (
            f'{{"question": "Who?", "subquestions": [{{"question": "{A}", "steps": ["{B}"]}}]}}',
            [A, B],
            "",
        ),
        (
            f'[{{"question": "{A}", "subquestions": ["Why?"]}}, {{"question": "{B}"}}]',
            [A, "Why?", B],
            "",
        ),
        (f'[{{"question": "Who is older?", "subquestions": ["{A}", "{B}"]}}]', [A, B], ""),
        (
            "In 1. FC Koln, who won? 2. Who lost?",
            ["In 1. FC Koln, who won?", "Who lost?"],
            "",
        ),
        (
            f'Ferries run daily.\n["{A}"]\nShips sail.',
            [A],
            "Ferries run daily.\nShips sail.",
        ),
        (f'x [1] y\n["{A}"]', [A], "x [1] y"),
        (f'["{A}",, "{B}"]', [A], B),
        ("Sure!\n<q>Who?</q>\nFerries run daily.", ["Who?"], "Ferries run daily."),
        (
            "| # | Question |\n|---|---|\n| 1 | Who? |\n\nFerries run daily.",
            ["Who?"],
            "Ferries run daily.",
        ),
        ("a | b\n---\nWho?", ["Who?"], "a | b"),
        ("who? ok\nwhy not", ["who?"], "ok why not"),
        ("See 1) first. (a) Who? (b) Why?", ["Who?", "Why?"], "See 1) first."),
        ("Q1: Who?\nA1: 5\nQ2: Why?\nA2: 6", ["Who?", "Why?"], "A1: 5\nA2: 6"),
        ("**Prices**\n1. Who?\n**Counts**\n2. Why?", ["Who?", "Why?"], "Prices\nCounts"),
        ("1. Find x.\nFerries run.\n2. Find y.", ["Find x.", "Find y."], "Ferries run."),
        ("1. Who?\n\nis it late?\n2. Why?", ["Who?", "Why?"], "is it late?"),
        ("Who?\nFerries run.\nWhy?\nShips sail.", ["Who?", "Why?"], "Ferries run.\nShips sail."),
    ],
)
def test_what_is_neither_subquestion_nor_remark_is_left_over(
    text: str, items: list[str], leftover: str
) -> None:
    read = read_decomposition(text)

    assert [step.text for step in read.subquestions] == items
    assert read.leftover == leftover


@pytest.mark.parametrize(
    "text",
    [
        f'["{A}", "How old is B',
        f'{{"subquestions": ["{A}", "How',
        f'[{{"question": "{A}"}}, {{"question": "How old is B',
        f"['{A}', 'How old is B",
    ],
)
def test_a_list_cut_off_within_an_item_is_no_shorter_list(text: str) -> None:
    with pytest.raises(ParseError, match="the list was cut off"):
        read_decomposition(text)


@pytest.mark.parametrize(
    "text",
    [
        *("[[]]", '{"note1": "x", "note2": "y"}', "| # | Question |\n|---|---|\n| 1 | |"),
        *("how old is Ada and\nis Bob older", "is Ada old or\nis Bob"),
        *("Add them;\nFind it;", "We ask 1. How old is Ada 2. How old is Bob"),
        *("who wrote it: Ada\nis it good", "What is this. Why\nhow old is it"),
    ],
)
def test_a_text_without_subquestions_is_an_error_rather_than_a_list(text: str) -> None:
    with pytest.raises(ParseError, match=r"\Ano subquestions found\Z"):
        read_decomposition(text)


@pytest.mark.parametrize(
    "piece",
    [
        *("1, ", "a;", "a\t", "question,", 'ask("a b', "x = ask('a b'", "==a", "== a", "[`", "`["),
        *("<sub>a?", "A) b ", '["a?", "', '{"question": "a?"}, ', '1. {"q": "a?"}\n', "الف) "),
        *("1. a\n2. b\nQuestion: c\n", "1. a?\n(A) b (B) c\n", 'to answer "', "a? and then "),
    ],
)
def test_forms_without_end_are_read_in_little_time(piece: str) -> None:
    start = time.process_time()
    with suppress(ParseError):
        read_decomposition(piece * (8000 // len(piece)))

    assert time.process_time() - start < 3  # some 0.1 s where it is linear
