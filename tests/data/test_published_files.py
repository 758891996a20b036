"""Files as data sets publish them: what the model must see, and which golds count.

All questions are invented; the layouts are those of the data sets that the names say.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from decompose_distill import DataError, load_questions

Wanted = tuple[list[str], list[str]]
"""Texts that stand in question or context, and the golds."""

PEARS = "A crate holds 18 pears and costs 7 dollars."
COST = "How much do 3 crates cost?"
SVAMP = {"ID": "chal-1", "Body": PEARS, "Question": COST, "Equation": "( 7.0 * 3.0 )"}
MAWPS = {"iIndex": 4, "sQuestion": f"{PEARS} {COST}", "lSolutions": [21.0], "lEquations": ["x=7*3"]}
WORD_PROBLEMS: dict[str, tuple[str, Any, Wanted]] = {
    "svamp": ("a.json", [SVAMP | {"Answer": 21.0}], ([PEARS, COST], ["21"])),
    "svamp with text": ("a.jsonl", SVAMP | {"Answer": "21.0"}, ([PEARS, COST], ["21"])),
    "svamp, a part": ("a.jsonl", SVAMP | {"Answer": 2.5}, ([PEARS, COST], ["2.5"])),
    "asdiv": (
        "a.jsonl",
        {"body": PEARS, "question": COST, "answer": "21 (dollars)", "formula": "7*3=21"},
        ([PEARS, COST], ["21", "21 (dollars)"]),
    ),
    "mawps": ("a.json", [MAWPS], ([PEARS, COST], ["21"])),
    "gsm8k": (
        "a.jsonl",
        {"question": f"{PEARS} {COST}", "answer": "7 * 3 = <<7*3=21>>21\n#### 21"},
        ([PEARS, COST], ["21"]),
    ),
    "gsm8k on one line": (
        "a.jsonl",
        {"question": COST, "answer": "7 * 3 = 21 #### 21"},
        ([COST], ["21"]),
    ),
    "math": (
        "a.json",
        {
            "problem": "What is $6 / 8$?",
            "level": "Level 1",
            "type": "Algebra",
            "solution": "We get $\\frac{6}{8}$, which is $\\boxed{\\frac{3}{4}}$.",
        },
        (["What is $6 / 8$?"], ["\\frac{3}{4}"]),
    ),
    "math with answer": (
        "a.jsonl",
        {"problem": "What is $6 / 8$?", "solution": "\\boxed{0.75}", "answer": "0.75"},
        (["What is $6 / 8$?"], ["0.75"]),
    ),
    "math without braces": (
        "a.jsonl",
        {"problem": "Seven less two?", "solution": "It is $\\boxed 5$."},
        (["Seven less two?"], ["5"]),
    ),
    "a proof": (
        "a.jsonl",
        {"problem": "Show that 2 is prime.", "solution": "Only 1 and 2 divide it."},
        (["Show that 2 is prime."], []),
    ),
    "aime": ("a.jsonl", {"ID": "x", "Problem": "Six by 7?", "Answer": 42}, (["Six by 7?"], ["42"])),
}

QUILL = "In which country is the birthplace of the founder of Quill Mills?"
TITLED = [
    ["Quill Mills", ["Quill Mills is a paper maker.", " It was founded by Odd Aune."]],
    ["Odd Aune", ["Odd Aune was born in Hamar, Norway."]],
]
SEEN = [QUILL, "Quill Mills", "It was founded by Odd Aune.", "Odd Aune was born in Hamar, Norway."]
HOTPOT = {"question": QUILL, "answer": "Norway", "type": "bridge", "level": "hard"}
COLUMNS = {"title": [title for title, _ in TITLED], "sentences": [text for _, text in TITLED]}
PARAGRAPHS = [
    {"idx": number, "title": title, "paragraph_text": " ".join(text), "is_supporting": not number}
    for number, (title, text) in enumerate(TITLED)
]
MILL = "The mill burned in 1871 and was rebuilt two years later."
BURN, LONG = "When did the mill burn?", "How long did rebuilding take?"
QAS = [
    {"id": "q1", "question": BURN, "answers": [{"text": "1871"}, {"text": "in 1871"}]},
    {"id": "q2", "question": LONG, "is_impossible": True, "answers": [], "plausible_answers": [1]},
]
NO_DATE = {"day": "", "month": "", "year": ""}
PASSAGES: dict[str, tuple[str, Any, Wanted]] = {
    "hotpotqa": ("a.json", [HOTPOT | {"_id": "h", "context": TITLED}], (SEEN, ["Norway"])),
    "2wiki lines": ("a.jsonl", HOTPOT | {"_id": "h", "context": TITLED}, (SEEN, ["Norway"])),
    "hub columns": ("a.jsonl", HOTPOT | {"id": "h", "context": COLUMNS}, (SEEN, ["Norway"])),
    "2wiki on the hub": (
        "a.jsonl",
        HOTPOT | {"context": {"title": COLUMNS["title"], "content": COLUMNS["sentences"]}},
        (SEEN, ["Norway"]),
    ),
    "musique": (
        "a.jsonl",
        {"id": "m", "question": QUILL, "answer": "Norway", "answer_aliases": ["the Norse land"]}
        | {"answerable": True, "paragraphs": PARAGRAPHS, "question_decomposition": [{"id": 1}]},
        (SEEN, ["Norway", "the Norse land"]),
    ),
    "passages as objects": (
        "a.jsonl",
        HOTPOT | {"context": [{"title": title, "sentences": text} for title, text in TITLED]},
        (SEEN, ["Norway"]),
    ),
    "passages as texts": (
        "a.jsonl",
        HOTPOT | {"context": [" ".join(text) for _, text in TITLED]},
        (SEEN, ["Norway"]),
    ),
    "titles with one text": (
        "a.jsonl",
        HOTPOT | {"context": {"title": ["Quill Mills", "Odd Aune"], "text": ["A.", "B."]}},
        ([QUILL, "Quill Mills", "A.", "Odd Aune", "B."], ["Norway"]),
    ),
    "contexts": (
        "a.jsonl",
        {"question": BURN, "answer": "1871", "context": {"contexts": [MILL], "labels": ["RESULT"]}},
        ([BURN, MILL], ["1871"]),
    ),
    "squad on the hub": (
        "a.jsonl",
        {"id": "s", "title": "T", "context": MILL, "question": BURN}
        | {"answers": {"text": ["1871", "in 1871", "1871"], "answer_start": [19, 16, 19]}},
        ([BURN, MILL], ["1871", "in 1871"]),
    ),
    "squad on the hub, unanswerable": (
        "a.jsonl",
        {"id": "s", "context": MILL, "question": "Who lit it?"}
        | {"answers": {"text": [], "answer_start": []}},
        (["Who lit it?", MILL], []),
    ),
    "boolq": (
        "a.jsonl",
        {"question": "did the mill burn", "title": "T", "answer": True, "passage": MILL},
        (["did the mill burn", MILL], ["yes"]),
    ),
    "drop on the hub": (
        "a.jsonl",
        {"section_id": "n", "query_id": "d", "passage": MILL, "question": BURN}
        | {"answers_spans": {"spans": ["1871"], "types": ["number"]}},
        ([BURN, MILL], ["1871"]),
    ),
    "drop without answers": (
        "a.jsonl",
        {"query_id": "d", "passage": MILL, "question": BURN},
        ([BURN, MILL], []),
    ),
    "triviaqa": (
        "a.json",
        {
            "Version": 1.0,
            "Data": [{"Question": BURN, "Answer": {"Value": "1871", "Aliases": ["71"]}}],
        },
        ([BURN], ["1871", "71"]),
    ),
    "natural questions": ("a.jsonl", {"question": BURN, "answer": ["1871"]}, ([BURN], ["1871"])),
    "web questions": ("a.jsonl", {"question": BURN, "answers": ["1871"]}, ([BURN], ["1871"])),
    "strategyqa": (
        "a.json",
        [{"qid": "s", "question": "Is 9 odd?", "answer": True, "facts": ["9 is 2 * 4 + 1."]}],
        (["Is 9 odd?"], ["yes"]),
    ),
}

TANK = "A tank fills in 6 hours and drains in 9. How long to fill it with the drain open?"
HOURS = ["12", "15", "18", "20", "24"]
ROCK = "Which of these is a rock?"
ROCKS = ["moss", "slate", "amber", "resin"]
LABELLED = [{"label": label, "text": text} for label, text in zip("ABCD", ROCKS, strict=True)]
HUB = {"text": ROCKS, "label": list("ABCD")}
CHOICES: dict[str, tuple[str, Any, Wanted]] = {
    "aqua": (
        "a.jsonl",
        {"question": TANK, "rationale": "...", "correct": "C"}
        | {"options": [f"{label}){text}" for label, text in zip("ABCDE", HOURS, strict=True)]},
        ([TANK, *HOURS], ["C", "18"]),
    ),
    "mathqa": (
        "a.json",
        [
            {"Problem": TANK, "Rationale": "...", "correct": "c"}
            | {"options": "a ) 12 , b ) 15 , c ) 18 , d ) 20 , e ) 24"}
        ],
        ([TANK, *HOURS], ["c", "18"]),
    ),
    "arc": (
        "a.jsonl",
        {"id": "r", "question": ROCK, "choices": HUB, "answerKey": "B"},
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "arc with numbers": (
        "a.jsonl",
        {"question": ROCK, "choices": {"text": ROCKS, "label": list("1234")}, "answerKey": "2"},
        ([ROCK, *ROCKS], ["2", "slate"]),
    ),
    "arc's own": (
        "a.jsonl",
        {"id": "r", "question": {"stem": ROCK, "choices": LABELLED}, "answerKey": "B"},
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "openbookqa": (
        "a.jsonl",
        {"id": "r", "question_stem": ROCK, "choices": HUB, "answerKey": "B"},
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "commonsenseqa": (
        "a.jsonl",
        {"question": ROCK, "question_concept": "rock", "choices": LABELLED, "answerKey": "B"},
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "mmlu": (
        "a.jsonl",
        {"question": ROCK, "subject": "geology", "choices": ROCKS, "answer": 1},
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "mmlu's own": ("a.csv", f"{ROCK},{','.join(ROCKS)},B\n", ([ROCK, *ROCKS], ["B", "slate"])),
    "mmlu pro": (
        "a.jsonl",
        {"question": ROCK, "options": ROCKS, "answer": "B", "answer_index": 1, "cot_content": ""},
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "medqa": (
        "a.jsonl",
        {"question": ROCK, "answer": "slate", "answer_idx": "B"}
        | {"options": dict(zip("ABCD", ROCKS, strict=True))},
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "race": (
        "a.jsonl",
        {"article": MILL, "question": BURN, "options": ["1870", "1871"], "answer": "B"},
        ([MILL, BURN, "1870"], ["B", "1871"]),
    ),
    "reclor": (
        "a.json",
        [{"context": MILL, "question": BURN, "answers": ["1870", "1871"], "label": 1}],
        ([MILL, BURN, "1870"], ["B", "1871"]),
    ),
    "the text of an option": (
        "a.jsonl",
        {"question": ROCK, "choices": ROCKS, "answer": "Slate"},
        ([ROCK, *ROCKS], ["slate", "B"]),
    ),
    "label and text": (
        "a.jsonl",
        {"question": ROCK, "choices": ROCKS, "answer": "(B) slate"},
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "several right": (
        "a.jsonl",
        {"question": ROCK, "choices": ROCKS, "answer": ["B", "C"]},
        ([ROCK, *ROCKS], ["B", "slate", "C", "amber"]),
    ),
    "columns": (
        "a.csv",
        f"question,A,B,C,D,answer\n{ROCK},{','.join(ROCKS)},B\n",
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "named columns": (
        "a.csv",
        f"id,question,option_a,option_b,option_c,option_d,correct\n7,{ROCK},{','.join(ROCKS)},b\n",
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "a list in a cell": (
        "a.csv",
        f'question,choices,answer\n{ROCK},"{ROCKS!r}",1\n',
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "gpqa": (
        "a.csv",
        "Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\n"
        f"{ROCK},slate,moss,amber,resin\n",
        ([ROCK, *ROCKS], ["slate"]),
    ),
    "sciq": (
        "a.jsonl",
        {"question": ROCK, "correct_answer": "slate", "support": "Slate is a rock."}
        | {"distractor1": "moss", "distractor2": "amber", "distractor3": "resin"},
        ([ROCK, *ROCKS, "Slate is a rock."], ["slate"]),
    ),
    "truthfulqa": (
        "a.jsonl",
        {"question": ROCK, "mc1_targets": {"choices": ["slate", "moss"], "labels": [1, 0]}},
        (["- moss\n- slate"], ["slate"]),
    ),
    "medmcqa": (
        "a.jsonl",
        {"question": ROCK, "opa": "moss", "opb": "slate", "opc": "amber", "opd": "resin", "cop": 1},
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "a test file": (
        "a.jsonl",
        {"question": ROCK, "choices": HUB, "answerKey": ""},
        ([ROCK, *ROCKS], []),
    ),
    "a hidden key": (
        "a.jsonl",
        {"question": ROCK, "choices": ROCKS, "answer": -1},
        ([ROCK, *ROCKS], []),
    ),
    "numbers that look like labels": (
        "a.jsonl",
        {"question": "How long?", "choices": ["1.5", "2.5", "3.5"], "answer": 1},
        (["A) 1.5", "B) 2.5", "C) 3.5"], ["B", "2.5"]),
    ),
    "numbers as options": (
        "a.jsonl",
        {"question": "How many?", "choices": [4, 2, 0, 6], "answer": "2"},
        (["A) 4", "D) 6"], ["2", "B"]),
    ),
    "yes and no as options": (
        "a.jsonl",
        {"question": "Is 9 odd?", "choices": ["no", "yes"], "answer": True},
        (["A) no"], ["yes", "B"]),
    ),
    "no options after all": (
        "a.jsonl",
        {"question": COST, "choices": None, "answer": "21"},
        ([COST], ["21"]),
    ),
    "options with labels that are options": (
        "a.jsonl",
        {"question": "Which type?", "choices": ["B", "A", "O", "AB"], "answerKey": "A"},
        (["Which type?", "AB"], ["A", "B"]),
    ),
}

MONDAY = "Q: What comes after Monday in the list Sunday, Monday, Friday?\nA:"
EXAMPLE = {"input": MONDAY, "target": "Friday"}
BARE = {"question": COST, "answer": "21"}
WRAPPERS: dict[str, tuple[str, Any, Wanted]] = {
    "big-bench": (
        "a.json",
        {"name": "ours", "keywords": ["x"], "metrics": ["exact_str_match"], "examples": [EXAMPLE]},
        ([MONDAY], ["Friday"]),
    ),
    "bbh": ("a.json", {"canary": "none", "examples": [EXAMPLE]}, ([MONDAY], ["Friday"])),
    "bbh inside": (
        "a.json",
        {"canary": "x", "data": {"examples": [EXAMPLE]}},
        ([MONDAY], ["Friday"]),
    ),
    "bbh on the hub": ("a.jsonl", EXAMPLE, ([MONDAY], ["Friday"])),
    "scores of targets": (
        "a.json",
        {"examples": [{"input": "Is 9 odd?", "target_scores": {"odd": 1, "even": 0}}]},
        (["Is 9 odd?", "even"], ["odd"]),
    ),
    "several targets": (
        "a.json",
        {"examples": [{"input": "Is 9 odd?", "target": ["yes", "it is"]}]},
        (["Is 9 odd?"], ["yes", "it is"]),
    ),
    "a task's own prefix": (
        "a.json",
        {"task_prefix": "Count as dwarves do.", "examples": [EXAMPLE]},
        (["Count as dwarves do.", MONDAY], ["Friday"]),
    ),
    "big-bench on the hub": (
        "a.jsonl",
        {"inputs": "Is 9 odd?", "targets": ["yes"], "multiple_choice_targets": ["yes", "no"]},
        (["Is 9 odd?", "- no"], ["yes"]),
    ),
    "squad": (
        "a.json",
        {"version": "2", "data": [{"title": "T", "paragraphs": [{"context": MILL, "qas": QAS}]}]},
        ([MILL, BURN], ["1871", "in 1871"]),
    ),
    "squad by article": (
        "a.jsonl",
        {"title": "T", "paragraphs": [{"context": MILL, "qas": QAS}]},
        ([MILL, BURN], ["1871", "in 1871"]),
    ),
    "drop by passage": (
        "a.jsonl",
        {
            "passage": MILL,
            "qa_pairs": [
                {"question": BURN, "query_id": "q"}
                | {"answer": {"number": "1871", "date": NO_DATE, "spans": []}}
            ],
        },
        ([MILL, BURN], ["1871"]),
    ),
    "questions": ("a.json", {"version": 1, "questions": [BARE]}, ([COST], ["21"])),
    "any one list": ("a.json", {"made": "today", "entries": [BARE]}, ([COST], ["21"])),
    "by name": ("a.json", {"q1": BARE}, ([COST], ["21"])),
    "the viewer": (
        "a.json",
        {"features": [{"name": "question"}], "rows": [{"row_idx": 0, "row": BARE}]},
        ([COST], ["21"]),
    ),
    "a context for all": (
        "a.json",
        {"context": MILL, "questions": [{"question": BURN, "answer": "1871"}]},
        ([MILL, BURN], ["1871"]),
    ),
}
TABLES: dict[str, tuple[str, Any, Wanted]] = {
    "byte order mark": ("a.csv", f"\ufeffquestion,answer\r\n{COST},21\r\n", ([COST], ["21"])),
    "semicolons": ("a.csv", f'question;answer\n"{COST}";21\n', ([COST], ["21"])),
    "tabs": ("a.tsv", f"question\tanswer\n{COST}\t21\n", ([COST], ["21"])),
    "lines with a mark": ("a.jsonl", f"\ufeff{json.dumps(BARE)}\r\n", ([COST], ["21"])),
    "a list in .jsonl": ("a.jsonl", json.dumps([BARE]), ([COST], ["21"])),
    "lines in .json": ("a.json", f"{json.dumps(BARE)}\n\n", ([COST], ["21"])),
    "one object, indented": ("a.json", f"\n{json.dumps(BARE, indent=2)}", ([COST], ["21"])),
    "an object, indented, in .jsonl": ("a.jsonl", json.dumps(BARE, indent=2), ([COST], ["21"])),
    "a number not in use": (
        "a.jsonl",
        json.dumps(BARE | {"score": float("nan")}),
        ([COST], ["21"]),
    ),
}
WAYS = ["Push the lid.", "Pull the lid."]
CHOICE_SETS: dict[str, tuple[str, Any, Wanted]] = {
    "PIQA": (
        "a.jsonl",
        {"goal": "Open a can.", "sol1": WAYS[0], "sol2": WAYS[1], "label": 1},
        (["Open a can.", *WAYS], ["B", WAYS[1]]),
    ),
    "HellaSwag, labels as text": (
        "a.jsonl",
        {"ind": 4, "ctx": "She takes a can.", "endings": WAYS, "label": "0"},
        (["She takes a can.", *WAYS], ["A", WAYS[0]]),
    ),
    "WinoGrande counts from 1": (
        "a.jsonl",
        {"sentence": "The lid came off as _ was old.", "option1": "it", "option2": "he"}
        | {"answer": "1"},
        (["The lid came off as _ was old.", "A) it", "B) he"], ["A", "it"]),
    ),
    "COPA": (
        "a.jsonl",
        {"premise": "The lid broke.", "question": "cause", "choice1": WAYS[0], "choice2": WAYS[1]}
        | {"label": 1, "idx": 0},
        (["The lid broke. What is the cause of this?", *WAYS], ["B", WAYS[1]]),
    ),
    "Social IQa counts from 1": (
        "a.jsonl",
        {"context": "Ada ran.", "question": "Why?", "answerA": "fun", "answerB": "fear"}
        | {"answerC": "haste", "label": "3"},
        (["Ada ran.", "Why?", "C) haste"], ["C", "haste"]),
    ),
    "Cosmos QA": (
        "a.jsonl",
        {"context": "Ada ran.", "question": "Why?", "label": 2}
        | {f"answer{i}": text for i, text in enumerate(["fun", "fear", "haste", "none"])},
        (["Ada ran.", "Why?", "C) haste"], ["C", "haste"]),
    ),
    "a test file, without keys": (
        "a.jsonl",
        {"goal": "Open a can.", "sol1": WAYS[0], "sol2": WAYS[1], "label": -1},
        (["Open a can.", *WAYS], []),
    ),
}
SPELLINGS: dict[str, tuple[str, Any, Wanted]] = {
    **{
        name: ("a.jsonl", {"question": COST, name: "21"}, ([COST], ["21"]))
        for name in ("gold", "ground_truth", "target", "expected_answer", "final_answer")
    },
    "several golds": (
        "a.jsonl",
        {"id": "t", "question": COST, "golden_answers": ["21", "21 dollars"]},
        ([COST], ["21", "21 dollars"]),
    ),
    **{
        name: (
            "a.jsonl",
            {"question": BURN, "answer": "1871", name: text},
            ([MILL, BURN], ["1871"]),
        )
        for name, text in {
            "document": MILL,
            "story": MILL,
            "passages": [MILL],
            "contexts": [MILL],
            "ctxs": [{"title": "Mill", "text": MILL}],
            "documents": [{"text": MILL}],
        }.items()
    },
    "columns": (
        "a.json",
        {"question": [COST, BURN], "answer": ["21", "1871"]},
        ([COST], ["21"]),
    ),
}
NAMED_OTHERWISE: dict[str, tuple[str, Any, Wanted]] = {
    "gaia": ("a.jsonl", {"task_id": "c", "Question": COST, "Final answer": "21"}, ([COST], ["21"])),
    "frames": ("a.tsv", f"\tPrompt\tAnswer\n0\t{COST}\t21\n", ([COST], ["21"])),
    "a query": ("a.jsonl", {"query": COST, "answer": "21"}, ([COST], ["21"])),
    "small letters first": ("a.jsonl", BARE | {"Answer": "not this"}, ([COST], ["21"])),
    "logiqa": (
        "a.jsonl",
        {"context": MILL, "query": ROCK, "options": ROCKS, "correct_option": 1},
        ([MILL, ROCK, *ROCKS], ["B", "slate"]),
    ),
    "logiqa 2": (
        "a.jsonl",
        {"text": MILL, "question": ROCK, "options": ROCKS, "answer": 1},
        ([MILL, ROCK, *ROCKS], ["B", "slate"]),
    ),
    "arc as a table": (
        "a.csv",
        "questionID,totalPossiblePoint,AnswerKey,question\nM1,1,B,Is it (A) moss (B) slate?\n",
        (["Is it (A) moss (B) slate?"], ["B"]),
    ),
    "pubmedqa": (
        "a.jsonl",
        {"question": BURN, "context": {"contexts": [MILL, "It was late."], "labels": ["A", "B"]}}
        | {"long_answer": "It did.", "final_decision": "yes"},
        ([MILL, "It was late.", BURN], ["yes"]),
    ),
    "truthfulqa as a table": (
        "a.csv",
        "Type,Question,Best Answer,Correct Answers,Incorrect Answers\n"
        "x,Is 9 odd?,It is,It is; Nine is odd,No\n",
        (["Is 9 odd?"], ["It is", "Nine is odd"]),
    ),
    "truthfulqa without options": (
        "a.jsonl",
        {"question": "Is 9 odd?", "best_answer": "It is", "correct_answers": ["Yes", "It is"]}
        | {"incorrect_answers": ["No"]},
        (["Is 9 odd?"], ["It is", "Yes"]),
    ),
    "popqa": (
        "a.tsv",
        f'id\tquestion\tpossible_answers\n4\t{COST}\t"[""21"", ""21 dollars""]"\n',
        ([COST], ["21", "21 dollars"]),
    ),
    "webquestions": (
        "a.json",
        [{"utterance": COST, "targetValue": '(list (description 21) (description "$ 21"))'}],
        ([COST], ["21", "$ 21"]),
    ),
    "complexwebquestions": (
        "a.json",
        [{"ID": "w", "question": COST, "answers": [{"answer": "21", "aliases": ["$21"]}]}],
        ([COST], ["21", "$21"]),
    ),
    "freshqa": (
        "a.csv",
        f"id,question,answer_0,answer_1\n0,{COST},21,$21\n",
        ([COST], ["21", "$21"]),
    ),
    "tabmwp": (
        "a.json",
        {"7": {"question": COST, "choices": None, "answer": "21", "table": "crate | $7"}},
        ([COST, "crate | $7"], ["21"]),
    ),
    "musr": (
        "a.json",
        [{"narrative": MILL, "question": ROCK, "choices": str(ROCKS), "answer_index": 1}],
        ([MILL, ROCK, *ROCKS], ["B", "slate"]),
    ),
    "quality counts from 1": (
        "a.jsonl",
        {"article": MILL, "questions": [{"question": ROCK, "options": ROCKS, "gold_label": 2}]},
        ([MILL, ROCK, *ROCKS], ["B", "slate"]),
    ),
    "options and correct_answer": (
        "a.jsonl",
        {"question": ROCK, "options": dict(zip("ABCD", ROCKS, strict=True)), "correct_answer": "B"},
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "choices and the text of the right one": (
        "a.jsonl",
        {"question": ROCK, "choices": ROCKS, "correct_answer": "slate"},
        ([ROCK, *ROCKS], ["slate", "B"]),
    ),
    "columns and correct_answer": (
        "a.csv",
        f"question,A,B,C,D,Correct Answer\n{ROCK},{','.join(ROCKS)},B\n",
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "mmlu redux": (
        "a.jsonl",
        {"question": ROCK, "choices": ROCKS, "answer": 1, "correct_answer": None},
        ([ROCK, *ROCKS], ["B", "slate"]),
    ),
    "narrativeqa": (
        "a.jsonl",
        {"document": {"id": "d", "summary": {"text": MILL}}, "question": {"text": BURN}}
        | {"answers": [{"text": "1871"}, {"text": "in 1871"}]},
        ([MILL, BURN], ["1871", "in 1871"]),
    ),
    "finqa": (
        "a.json",
        [
            {"pre_text": [PEARS], "post_text": ["."], "table": [["crates", "3"]], "id": "f"}
            | {"qa": {"question": COST, "answer": "", "exe_ans": 21.0}}
        ],
        ([PEARS, "crates | 3", COST], ["21"]),
    ),
    "a data frame": (
        "a.json",
        {"question": {"0": COST}, "answer": {"0": 21}, "n": {"0": 3}},
        ([COST], ["21"]),
    ),
    "a list of texts": ("a.json", [COST], ([COST], [])),
}

ALL = (
    WORD_PROBLEMS
    | PASSAGES
    | CHOICES
    | WRAPPERS
    | TABLES
    | CHOICE_SETS
    | SPELLINGS
    | NAMED_OTHERWISE
)


def _write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("name", ALL)
def test_a_published_file_shows_all_of_a_question_and_its_golds(name: str, tmp_path: Path) -> None:
    file, content, (has, golds) = ALL[name]
    first = load_questions(_write(tmp_path, file, content))[0]

    assert [text for text in has if text not in f"{first.context}\n{first.text}"] == []
    assert list(first.golds) == golds


@pytest.mark.parametrize("indent", [None, 1])
def test_every_question_of_a_wrapper_is_read(indent: int | None, tmp_path: Path) -> None:
    articles = [
        {"paragraphs": [{"context": MILL, "qas": QAS}, {"context": "Nothing.", "qas": []}]},
        {
            "paragraphs": [
                {"context": PEARS, "qas": [{"question": COST, "id": "q3", "answers": []}]}
            ]
        },
    ]
    content = json.dumps({"data": articles}, indent=indent)
    questions = load_questions(_write(tmp_path, "a.json", content))

    assert [(each.id, each.context) for each in questions] == [
        ("q1", MILL),
        ("q2", MILL),
        ("q3", PEARS),
    ]
    assert questions[1].golds == ()


def test_fields_of_a_file_may_be_wrapped_and_hold_passages_and_options(tmp_path: Path) -> None:
    row = {"q": ROCK, "docs": [["Slate", ["Slate is a rock."]]], "given": ROCKS, "key": "B"}
    names = {"question": "q", "context": "docs", "options": "given", "answer": "key"}
    path = _write(tmp_path, "a.json", {"version": 1, "data": [row]})
    [question] = load_questions(path, fields=names)

    assert question.context == "Slate: Slate is a rock."
    assert question.text.startswith(f"{ROCK}\nOptions:\nA) moss\n")
    assert question.golds == ("B", "slate")


def test_the_order_of_options_without_one_tells_nothing(tmp_path: Path) -> None:
    row = {"question": ROCK, "correct_answer": "slate", "distractor1": "moss"}
    [question] = load_questions(_write(tmp_path, "a.jsonl", row))

    assert question.text == f"{ROCK}\nOptions:\n- moss\n- slate"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": "x"}, "field 'label' must count the options from 0, not be 'x'"),
        ({"label": 1.5}, "field 'label' must count the options from 0, not be '1.5'"),
        ({"label": True}, "field 'label' must count the options from 0, not be 'yes'"),
        ({"label": [1]}, "field 'label' must hold text or numbers, not list"),
        ({"label": 7}, "field 'label': '7' is none of the options"),
        ({"goal": None}, "field 'goal' must be str, not NoneType"),
        ({"goal": ["Open it."]}, "field 'goal' must be str, not list"),
    ],
)
def test_a_row_of_choices_that_says_no_option_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    row = {"goal": "Open it.", "sol1": WAYS[0], "sol2": WAYS[1], "label": 1} | changes
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match=re.escape(words)):
        list(load_questions(tmp_path / "a.jsonl"))


def test_no_option_is_counted_below_the_first(tmp_path: Path) -> None:
    row = {"sentence": "The lid came off as _ was old.", "option1": "it", "option2": "he"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row | {"answer": "0"}))
    with pytest.raises(DataError, match="must count the options from 1, not be '0'"):
        list(load_questions(tmp_path / "a.jsonl"))
