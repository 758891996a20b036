"""Forms in which models write a list of subquestions, each as a function that renders one."""

import json
from collections.abc import Callable, Sequence

Form = Callable[[Sequence[str]], str]

LINES = """
{i}. {x}|{i}.{x}|{i}) {x}|({i}) {x}|({i}){x}|[{i}] {x}|{i}: {x}|{i} - {x}|{i} – {x}|{i}.) {x}
{i}). {x}
{{{i}}} {x}|#{i}: {x}|#{i}. {x}|No. {i}: {x}|{i}- {x}|{i}/ {x}|{i} → {x}|{i}> {x}|{i}º {x}|{i}\t{x}
Q{i}: {x}|Q{i}. {x}|Q{i}) {x}|Q{i} - {x}|Q-{i}: {x}|Q {i}: {x}|q{i}: {x}|SQ{i}: {x}|SubQ{i}: {x}
Subquestion {i}: {x}|Sub-question {i}: {x}|Sub question {i}. {x}|Subquestion {i} - {x}
Subquestion {i} — {x}|Subquestion #{i}: {x}|Subquestion ({i}): {x}|Subquestion {i} (a hint): {x}
Question {i}: {x}|Question {i}) {x}|Question {i} of 9: {x}|Step {i}: {x}|Step {i}. {x}
STEP {i}: {x}
Part {i}: {x}|Task {i}: {x}|Sub-problem {i}: {x}|Sub-query {i}: {x}|[Q{i}] {x}|(Q{i}) {x}
[Subquestion {i}] {x}|**{i}.** {x}|**{i}. {x}**|**{i})** {x}|**Subquestion {i}:** {x}|**Q{i}**: {x}
**Step {i}** - {x}|*{i}.* {x}|*{i}. {x}*|__{i}.__ {x}|{i}. *{x}*|{i}. **{x}**|{i}. `{x}`
***{i}.*** {x}
{i}. "{x}"|{i}. “{x}”|### {i}. {x}|### Step {i}: {x}|#### {i}) {x}|> {i}. {x}|    {i}. {x}
{i}️⃣ {x}|- {x}|* {x}|+ {x}|• {x}|•{x}|‣ {x}|▪ {x}|◦ {x}|● {x}|■ {x}|– {x}|— {x}|→ {x}|-> {x}|➤ {x}
🔹 {x}|◆ {x}|- [ ] {x}|- [x] {x}|☐ {x}|✓ {x}|- {i}. {x}|* {i}) {x}|- Q{i}: {x}|- **{x}**|> - {x}
- **Subquestion {i}:** {x}|{i}. Q{i}: {x}|{i}. **Subquestion {i}:** {x}|{i}. Subquestion: {x}
{i}. Question: {x}|{i}. - {x}|{i}. [ ] {x}|1.{i} {x}|1.{i}. {x}|2.{i}) {x}|Q1.{i}: {x}|1-{i}. {x}
Subquestion: {x}|Q: {x}|Question: {x}|\\item {x}|- question: {x}|{i}. {x}  |问题{i}：{x}
子问题{i}：{x}
{i}、{x}|（{i}）{x}|步骤{i}: {x}|第{i}步：{x}|第{i}个问题：{x}|質問{i}：{x}|サブ質問{i}: {x}
질문 {i}: {x}
Frage {i}: {x}|Teilfrage {i}: {x}|Schritt {i}: {x}|Sous-question {i} : {x}|Étape {i} : {x}
Pregunta {i}: {x}|Paso {i}: {x}|Domanda {i}: {x}|Pergunta {i}: {x}|Passo {i}: {x}|Вопрос {i}: {x}
Шаг {i}: {x}|Подвопрос {i}: {x}|السؤال {i}: {x}|प्रश्न {i}: {x}|Soru {i}: {x}|Vraag {i}: {x}
Pytanie {i}: {x}|Câu hỏi {i}: {x}|{i}．{x}|{i}：{x}|<li>{x}</li>|<subquestion>{x}</subquestion>
<sub_question>{x}</sub_question>|<subquestion_{i}>{x}</subquestion_{i}>|<q{i}>{x}</q{i}>
<step number="{i}">{x}</step>|<question>{x}</question>|<item>{x}</item>
<step><question>{x}</question><reason>because</reason></step>
{c}) {x}|({c}) {x}|{c}. {x}|{c}: {x}|[{c}] {x}|**{c})** {x}|Part {c}: {x}|Question {c}. {x}
1{c}. {x}
1{c}) {x}|1.{c}) {x}|2({c}) {x}|{c} - {x}|- {c}) {x}|{C}. {x}|{C}) {x}|({C}) {x}|Step {C}: {x}
{r}. {x}|{r}) {x}|({r}) {x}|{R}. {x}|{R}) {x}|Step {R}: {x}|**{R}.** {x}|{o} {x}|{o}{x}|{n} {x}
{p} {x}
{d} {x}|{k}、{x}|（{k}）{x}|第{k}步：{x}|问题{k}：{x}|{a}. {x}|{a}) {x}|{a}- {x}|{h}. {x}|{f}．{x}
{f}、{x}
Delfråga {i}: {x}|Spørgsmål {i}: {x}|Otázka {i}: {x}|Kysymys {i}: {x}|Kérdés {i}: {x}
Întrebarea {i}: {x}
Ερώτηση {i}: {x}|Питання {i}: {x}|Въпрос {i}: {x}|سوال {i}: {x}|שאלה {i}: {x}|คำถามที่ {i}: {x}
Pertanyaan {i}: {x}|問い{i}: {x}|設問{i}：{x}|小题{i}：{x}|প্রশ্ন {i}: {x}|Teilaufgabe {i}: {x}
Sous-problème {i} : {x}|Subproblema {i}: {x}|Smaller question {i}: {x}|Follow-up {i}: {x}
q_{i}: {x}|subquestion_{i}: "{x}"|(({i})) {x}|-{i}. {x}
<u>Question {i}</u>: {x}|<b>{i}.</b> {x}|<strong>Q{i}:</strong> {x}|\\textbf{{{i}.}} {x}
<p>{i}. {x}</p>
🔢 {i}. {x}|♦ {x}|☞ {x}|◾ {x}|» {x}|[*]{x}|\\item[{i}.] {x}|<subquery>{x}</subquery>
{y}. {x}|<question><![CDATA[{x}]]></question>
{i}→ {x}|Hop {i}: {x}|Question n° {i}: {x}|{i}\\. {x}|{i}\\) {x}|Langkah {i}: {x}|{i}단계: {x}|・{x}
{i}. Schritt: {x}|{i}ª pergunta: {x}|{i}-й вопрос: {x}|{i}e étape : {x}|Vaihe {i}: {x}
ขั้นตอนที่ {i}: {x}
{m} {x}|{m}{x}|{i}. ==> {x}|\uf0b7 {x}|Stage {i}: {x}|שלב {i}: {x}|Pasul {i}: {x}
{w}: {x}|{w}, {x}|{w} question: {x}|{w}ly, {x}|Question {v}: {x}|Step {v}: {x}|{u}. {x}|{z}) {x}
"""
"""A form a piece: `i` the number, `x` the text, and the number in other numerals."""
BLOCKS = (
    *(
        "{i}. {x}\n",
        "- {x}\n",
        "# {i}\n{x}\n",
        "## Subquestion {i}\n{x}\n",
        "{i}.\n{x}",
        "{i}\n{x}",
    ),
    *("## Question {i}:\n\n{x}\n", "**Subquestion {i}**\n{x}\n", "**{i}.**\n{x}\n", "Q{i}:\n{x}"),
    *("Subquestion {i}:\n{x}\n", "### Subquestion {i}: A title\n{x}\n", "**{i}. A title**\n{x}\n"),
    *("- id: {i}\n  question: {x}", "{i}. {x}\n   - This helps.", "{i}. {x}\n   Answer: 5 euros"),
    *(
        "Q{i}: {x}\nA{i}: 5 euros",
        "Q: {x}\nA: 5 euros",
        "{x}\n",
        "{x}",
        '"{x}"',
        '"{x}",',
        "{i}. {x}\r",
    ),
)
INLINE = (
    *("{i}. {x}", "{i}) {x}", "({i}) {x}", "Q{i}: {x}", "Step {i}: {x}", "({c}) {x}", "{c}) {x}"),
    *("({r}) {x}", "{o} {x}", "• {x}", "{x}", "[{i}] {x}"),
)
QUESTION_ONLY = ("A title", "{x}\n", "{x}", '"{x}"', '"{x}",')
"""Forms that tell an item only by its question mark."""
NUMERALS = {
    "c": "abcdefghi",
    "C": "ABCDEFGHI",
    "r": ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"),
    "R": ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"),
    "o": "①②③④⑤⑥⑦⑧⑨",
    "n": "❶❷❸❹❺❻❼❽❾",
    "p": "⑴⑵⑶⑷⑸⑹⑺⑻⑼",
    "d": "⒈⒉⒊⒋⒌⒍⒎⒏⒐",
    "k": "一二三四五六七八九",
    "a": "١٢٣٤٥٦٧٨٩",
    "y": "אבגדהוזחט",
    "h": "१२३४५६७८९",
    "f": "１２３４５６７８９",
    "u": "ⅠⅡⅢⅣⅤⅥⅦⅧⅨ",
    "z": "абвгдежзи",
    "m": "ⓐⓑⓒⓓⓔⓕⓖⓗⓘ",
    "w": ("First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth"),
    "v": ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
}


def _template(template: str, between: str = "\n") -> Form:
    def render(items: Sequence[str]) -> str:
        return between.join(
            template.format(i=i + 1, x=text, **{name: signs[i] for name, signs in NUMERALS.items()})
            for i, text in enumerate(items)
        )

    return render


def _dump(shape: Callable[[Sequence[str]], object], indent: int | None = None) -> Form:
    return lambda items: json.dumps(shape(items), indent=indent, ensure_ascii=False)


def _numbered(items: Sequence[str]) -> str:
    return "\n".join(f"{i}. {text}" for i, text in enumerate(items, start=1))


JSON: dict[str, Form] = {
    "list": _dump(list),
    "indented list": _dump(list, 2),
    "field": _dump(lambda items: {"subquestions": list(items)}),
    "other field": _dump(lambda items: {"sub_questions": list(items)}, 1),
    "questions": _dump(lambda items: {"questions": list(items)}),
    "steps": _dump(lambda items: {"steps": list(items)}),
    "with reasoning": _dump(
        lambda items: {"reasoning": "1. x? 2. y?", "subquestions": list(items)}
    ),
    "with the question": _dump(lambda items: {"question": "Main?", "subquestions": list(items)}),
    "deeper": _dump(lambda items: {"result": {"subquestions": list(items)}}),
    "objects": _dump(lambda items: [{"id": i, "question": x} for i, x in enumerate(items)]),
    "other objects": _dump(lambda items: [{"subquestion": x, "depends_on": []} for x in items]),
    "objects in a field": _dump(
        lambda items: {"subquestions": [{"step": i, "text": x} for i, x in enumerate(items)]}, 2
    ),
    "a tree": _dump(
        lambda items: {"question": "Main?", "children": [{"question": x} for x in items]}
    ),
    "a text": lambda items: json.dumps(json.dumps({"subquestions": list(items)})),
    "with comments": lambda items: (
        "[\n" + "".join(f"  {json.dumps(x, ensure_ascii=False)}, // so\n" for x in items) + "]"
    ),
    "numbered keys": _dump(lambda items: {str(i): x for i, x in enumerate(items, start=1)}),
    "labelled keys": _dump(lambda items: {f"q{i}": x for i, x in enumerate(items, start=1)}),
    "long keys": _dump(lambda items: {f"subquestion_{i}": x for i, x in enumerate(items, start=1)}),
    "objects under keys": _dump(
        lambda items: {"decomposition": {f"step{i}": {"question": x} for i, x in enumerate(items)}}
    ),
    "numbered texts": _dump(lambda items: [f"{i}. {x}" for i, x in enumerate(items, start=1)]),
    "one text": _dump(lambda items: {"subquestions": _numbered(items)}),
    "a string": _dump(_numbered),
    "lines": lambda items: "\n".join(json.dumps({"question": text}) for text in items),
    "comma too many": lambda items: "[" + "".join(f"{json.dumps(text)},\n" for text in items) + "]",
    "no end": lambda items: json.dumps(list(items))[:-1],
    "other quotes": lambda items: "['" + "', '".join(items) + "']",
    "assigned": lambda items: f"subquestions = {json.dumps(list(items))}",
    "fenced": lambda items: f"```json\n{json.dumps(list(items), indent=2)}\n```",
    "fenced among words": lambda items: (
        f"Here it is:\n\n```\n{json.dumps({'subquestions': list(items)})}\n```\n\nLet me know!"
    ),
    "behind a colon": lambda items: f"Here is the JSON: {json.dumps(list(items))}",
}
TAGS: dict[str, Form] = {
    "list": lambda items: "<ul>\n" + "".join(f"<li>{text}</li>\n" for text in items) + "</ul>",
    "open list": lambda items: "<ol>\n" + "".join(f"<li>{text}\n" for text in items) + "</ol>",
    "nested": lambda items: (
        "<decomposition>"
        + "".join(f"\n  <step>\n    <question>{text}</question>\n  </step>" for text in items)
        + "\n</decomposition>"
    ),
    "around lines": lambda items: f"<subquestions>\n{_numbered(items)}\n</subquestions>",
    "around an answer": lambda items: f"<answer>\n{_numbered(items)}\n</answer>",
    "fenced": lambda items: (
        "```xml\n<questions>" + "".join(f"<q>{text}</q>\n" for text in items) + "</questions>\n```"
    ),
    "with numbers": lambda items: "".join(
        f"<subquestion><id>{i}</id><text>{text}</text></subquestion>"
        for i, text in enumerate(items)
    ),
    "breaks": lambda items: "<br>".join(f"{i}. {x}" for i, x in enumerate(items, start=1)),
}
OTHERS: dict[str, Form] = {
    "table": lambda items: (
        "| # | Subquestion |\n|---|---|\n"
        + "\n".join(f"| {i} | {text} |" for i, text in enumerate(items, start=1))
    ),
    "bold table": lambda items: (
        "| # | Question |\n|---|---|\n"
        + "\n".join(f"| **{i}** | **{x}** |" for i, x in enumerate(items, start=1))
    ),
    "table with reasons": lambda items: (
        "| Step | Question | Purpose |\n|:--|:--:|--:|\n"
        + "\n".join(f"| {i} | {x} | it is needed for the total |" for i, x in enumerate(items))
    ),
    "YAML": lambda items: "subquestions:\n" + "\n".join(f"  - {text}" for text in items),
    "escaped line ends": lambda items: _numbered(items).replace("\n", "\\n"),
    "LaTeX": lambda items: (
        "\\begin{enumerate}\n"
        + "\n".join(f"\\item {text}" for text in items)
        + "\n\\end{enumerate}"
    ),
    "wrapped": lambda items: _numbered([text.replace(" ", "\n   ", 1) for text in items]),
    "semicolons": _template("{i}. {x}", "; "),
    "no space": _template("{i}) {x}", ""),
    "below a number": lambda items: (
        "1. Prices\n" + "\n".join(f"   1.{i} {text}" for i, text in enumerate(items, start=1))
    ),
    "below a bullet": lambda items: "- Prices\n" + "\n".join(f"  - {text}" for text in items),
    "bullets below a number": lambda items: (
        "1. Prices\n" + "\n".join(f"   - {text}" for text in items)
    ),
    "numbers below a number": lambda items: (
        "1. Prices\n" + "\n".join(f"    {i}. {text}" for i, text in enumerate(items, start=1))
    ),
    "bullets below a heading": lambda items: (
        "## Step 1: Prices\n" + "\n".join(f"- {text}" for text in items)
    ),
}
OPENINGS = (
    *("Sure!\n\n", "Here are the subquestions:\n\n", "You want it split? No problem:\n"),
    *("To answer this, we can break it down into these steps:\n", "# Decomposition\n\n"),
    "Certainly! The question asks for a total.\nLet's break it down.\n\nSubquestions:\n",
    *("**Subquestions:**\n\n", "We need two things, namely:\n", "Let me think step by step.\n\n"),
    *("Here are 2 subquestions that help (at most 3 were allowed):\n", "好的，以下是子问题：\n"),
    *("Claro, aquí están las subpreguntas:\n", "Gerne! Hier sind die Teilfragen:\n"),
    *("<think>1. Is it late?\n2. Who?</think>\n", "1. Is it late?\n</think>\n"),
)
CLOSINGS = (
    *(
        "\n\nLet me know if you need anything else!",
        "\n\nI hope this helps.",
        "\n\n---\nLet me know!",
    ),
    "\n\nThese subquestions will help to answer the main question.",
    *("\n\nWould you like me to answer them?", "\n\nThe answer is 42.", "\n\nFinal answer: 42"),
    *("\n\nNote: the second builds on the first.", "\nBy answering these, we get the total."),
    *(
        "\n\nNo further decomposition is needed.",
        "\nTogether they give the answer",
        "\n\n希望这对您有帮助！",
    ),
    *("\n\nOnce you have these, multiply them.", "<|im_end|>", "</s>", "<|eot_id|>", "\n\n\n"),
)
LEADS = ("Sure:", "Here you go:", "Of course!", "Subquestions:", "We ask these.", "Assistant:")
"""What may stand on the line of the first item."""
BEFORE_LISTS = (
    "Question: How much do 14 scouts pay in total?\n\n",
    "**Original question:** How much do they pay?\n\n**Subquestions:**\n",
    "Reasoning:\n1. We need the price.\n2. We need the count.\n\nSubquestions:\n",
    "### Thoughts\nMaybe:\n1. Who is Ada?\n2. Why?\n\n### Subquestions\n",
    "**Thinking:**\nMaybe:\n1. Who is Ada?\n2. Why?\n**Answer:**\n",
    "## Analysis\n- first look at prices\n- then at counts\n\n## Subquestions\n",
)
AFTER_LISTS = (
    *("\n\nAnswers:\n1. 5 euros\n2. 14", "\n\nMain question: How much do they pay?"),
    "\n\n**Explanation:**\n- The first gives the price.\n- The second gives the count.",
)
"""Words around marked lists, in which the list itself must be told from other lists."""


def _forms() -> dict[str, Form]:
    lines = [piece for line in LINES.strip().splitlines() for piece in line.split("|")]
    forms = {template: _template(template) for template in (*lines, *BLOCKS)}
    forms |= {f"one line: {template}": _template(template, " ") for template in INLINE}
    forms |= {f"JSON: {name}": form for name, form in JSON.items()}
    forms |= {f"tags: {name}": form for name, form in TAGS.items()}
    return forms | OTHERS


FORMS = _forms()
STATEMENT_FORMS = {
    name: form
    for name, form in FORMS.items()
    if not any(mark in name for mark in QUESTION_ONLY[:1])
    and name not in QUESTION_ONLY
    and not name.startswith(("one line", "{i}\n", "bullets below", "below a bullet"))
}
"""Forms that tell an item whether or not it ends in a question mark."""
