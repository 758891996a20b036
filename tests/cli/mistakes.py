"""Calls that people get wrong, with what they are told: tested, and shown in the reference.

In `call`, `URL` is a server that must not be asked, unless the mistake is one it alone can tell.
"""

from dataclasses import dataclass

ASKING = "--teacher openai:m --base-url URL --output t.jsonl"
SCORING = "evaluate train.jsonl --decomposer openai:m --solver openai:m --base-url URL"
TRAINING = "--student base --output-dir student"


@dataclass(frozen=True)
class Mistake:
    """A wrong call."""

    what: str
    """What is wrong, for the reference."""
    call: str
    message: str
    """The line on stderr, after `error: `."""
    code: int = 2
    status: int = 200
    """What the server answers, if it is asked."""
    words: str = ""
    """What it says then."""


FILES: dict[str, str | bytes] = {
    "nogold.jsonl": '{"question": "Who?"}\n',
    "frage.jsonl": '{"frage": "Who?", "antwort": "Ada"}\n',
    "csv.jsonl": "question,answer\nWho?,Ada\n",
    "empty.jsonl": "",
    "blank.jsonl": '{"question": " "}\n',
    "list.jsonl": '{"question": ["Who?"]}\n',
    "broken.jsonl": '{"question": "Who?"}\n{"question":\n',
    "latin.jsonl": '{"question": "Wér?"}\n'.encode("latin-1"),
    "utf16.jsonl": '{"question": "Wér?"}\n'.encode("utf-16"),
    "twice.jsonl": '{"question": "Who?", "id": "1"}\n{"question": "Why?", "id": "1"}\n',
    "typo.toml": "targte = 'answer'\n",
    "text.toml": 'samples = "three"\n',
    "torn.toml": "samples = \n",
    "settings.ini": "samples = 3\n",
    "old/decompose_distill.json": '{"format": 9}',
    "plain/config.json": "{}",
    "file": "something",
    "full/file": "something",
    "shout.txt": "Split {questoin} for {question}.",
}
"""What stands there beside train.jsonl (questions), traces.jsonl and base (a model)."""

MISTAKES = (
    Mistake(
        "a wrong key",
        f"collect train.jsonl {ASKING}",
        "HTTP 401 from URL: Incorrect API key: check the key in OPENAI_API_KEY",
        code=1,
        status=401,
        words="Incorrect API key",
    ),
    Mistake(
        "no key",
        "collect train.jsonl --teacher openai:m --output t.jsonl",
        "no key for https://api.openai.com/v1: set the environment variable OPENAI_API_KEY, or "
        "give base_url for a server of your own",
        code=1,
    ),
    Mistake(
        "a model the server does not have",
        f"collect train.jsonl {ASKING}",
        "HTTP 404 from URL: No model m: check the model name m, and check base_url (most end in "
        "/v1)",
        code=1,
        status=404,
        words="No model m",
    ),
    Mistake(
        "an address without http://",
        "collect train.jsonl --teacher openai:m --base-url localhost:8000/v1 --output t.jsonl",
        "base_url must be like 'http://localhost:8000/v1', not 'localhost:8000/v1'",
    ),
    Mistake(
        "a backend without its scheme",
        "collect train.jsonl --teacher gpt-4.1 --output t.jsonl",
        "backend 'gpt-4.1' must be written 'scheme:model', as 'openai:gpt-4.1'",
    ),
    Mistake(
        "a solver's address for a solver that has none",
        f"collect train.jsonl {ASKING} --solver hf:base --solver-base-url URL",
        "--solver-base-url goes with 'openai:' backends, not with 'hf:base'",
    ),
    Mistake(
        "a typo in an option",
        "collect train.jsonl --teacher openai:m --outptu t.jsonl",
        "No such option: --outptu (Possible options: --output, --prompt)",
    ),
    Mistake(
        "a typo in a command",
        "colect train.jsonl",
        "No such command 'colect'. Did you mean 'collect'?",
    ),
    Mistake(
        "something is missing",
        "collect train.jsonl --output t.jsonl",
        "missing --teacher: give it on the command line, or in --config FILE",
    ),
    Mistake(
        "a typo in a score",
        f"{SCORING} --score exat",
        "--score cannot be 'exat'; did you mean 'exact'? it must be a function, its "
        "module:function, or one of exact, f1, contains, yes_no, gsm8k, gsm8k_strict, "
        "gsm8k_paper, drop_em, drop_f1",
    ),
    Mistake(
        "a typo in a score of one's own",
        f"{SCORING} --score json:lods",
        "--score json:lods: json has no function 'lods'; did you mean 'loads'? it must be one "
        "(answer, golds) -> float | None",
    ),
    Mistake(
        "a module that is not there",
        f"{SCORING} --score my_scores:close",
        "--score my_scores:close: cannot import 'my_scores' here: ModuleNotFoundError: No module "
        "named 'my_scores'",
    ),
    Mistake(
        "a device for a server",
        f"collect train.jsonl {ASKING} --device cpu",
        "--device goes with 'hf:' backends, not with 'openai:m'",
    ),
    Mistake(
        "a word for a number",
        f"collect train.jsonl {ASKING} --samples four",
        "--samples must be a whole number, not 'four'",
    ),
    Mistake(
        "a typo in a choice",
        "audit traces.jsonl --student base --role decomposr",
        "--role cannot be 'decomposr'; did you mean 'decomposer'? known: decomposer, solver",
    ),
    Mistake(
        "none of the questions",
        f"collect train.jsonl {ASKING} --limit 0",
        "--limit must be 1 or more, not 0",
    ),
    Mistake(
        "a number out of range",
        f"collect train.jsonl {ASKING} --samples 0",
        "samples must be 1 or more, not 0",
    ),
    Mistake(
        "an unknown row of `paper`",
        "paper --teacher openai:m --base-url URL --student base --train train.jsonl "
        "--test heldout.jsonl --output-dir out --rows S_D_R",
        "rows: unknown 'S_D_R'; did you mean 'S_D-R'? known: none, CoT, plan-and-solve, teacher, "
        "shuffled, untrained student, untrained few-shot, S_D-T, S_D-R, S_D-uplift",
    ),
    Mistake(
        "a budget, and no price for the model",
        f"collect train.jsonl {ASKING} --budget-usd 1",
        "budget_usd needs a price for the decomposer, and none is known for 'm': give "
        "prices={'m': Price(...)}, or on the command line --prices FILE",
    ),
    Mistake(
        "a budget without a place for what was paid",
        f"{SCORING} --budget-usd 1",
        "--budget-usd needs --output, beside which is kept what was paid",
    ),
    Mistake(
        "a typo in a configuration file",
        "audit --config typo.toml",
        "typo.toml: unknown key 'targte'; did you mean 'target'? known: traces, student, role, "
        "target, keep, prompt, max_duplicates",
    ),
    Mistake(
        "a wrong value in it",
        f"collect train.jsonl {ASKING} --config text.toml",
        "text.toml: samples must be a whole number, not 'three'",
    ),
    Mistake(
        "a torn one",
        f"collect train.jsonl {ASKING} --config torn.toml",
        "torn.toml: not TOML: Invalid value (at line 1, column 11)",
    ),
    Mistake(
        "one of another kind",
        f"collect train.jsonl {ASKING} --config settings.ini",
        "settings.ini: a configuration file ends in .toml or .yaml",
    ),
    Mistake(
        "none there",
        f"collect train.jsonl {ASKING} --config gone.toml",
        "gone.toml: no such configuration file",
    ),
    Mistake(
        "a prompt with an unknown placeholder",
        f"collect train.jsonl {ASKING} --prompt shout.txt",
        "prompt user template holds unknown placeholder {questoin}; did you mean 'question'? "
        "known: context, question, subquestions",
    ),
    Mistake(
        "no such prompt",
        f"collect train.jsonl {ASKING} --prompt gone.txt",
        "gone.txt: no such file of a prompt",
    ),
    Mistake(
        "no such file of questions",
        f"collect gone.jsonl {ASKING}",
        "gone.jsonl: no such file of questions, nor one of gsm8k, drop, bamboogle, strategyqa, "
        "musique",
    ),
    Mistake(
        "a folder of questions",
        f"collect full {ASKING}",
        "full is a folder: name a file of questions in it",
    ),
    Mistake(
        "fields with other names",
        f"collect frage.jsonl {ASKING}",
        "frage.jsonl:1: missing field 'question', and no known layout has frage, antwort; of a "
        'file of your own, name the fields: fields={"question": ..., "answer": ...}, or on the '
        "command line --fields question=...,answer=...",
    ),
    Mistake(
        "a typo in a name of ours",
        f"collect frage.jsonl {ASKING} --fields qestion=frage",
        "fields: unknown name 'qestion'; did you mean 'question'? known: question, answer, "
        "context, aliases, options, id",
    ),
    Mistake(
        "fields that are not there",
        f"collect frage.jsonl {ASKING} --fields question=fraeg",
        "frage.jsonl:1: missing field 'fraeg'; it has frage, antwort",
    ),
    Mistake(
        "CSV under another name",
        f"collect csv.jsonl {ASKING}",
        "csv.jsonl:1: not JSON: it begins with 'question,answer'; a table of cells must be named "
        ".csv or .tsv",
    ),
    Mistake("an empty file", f"collect empty.jsonl {ASKING}", "empty.jsonl: holds no question"),
    Mistake(
        "a blank question",
        f"collect blank.jsonl {ASKING}",
        "blank.jsonl:1: field 'question' is empty",
    ),
    Mistake(
        "a list for a text",
        f"collect list.jsonl {ASKING}",
        "list.jsonl:1: field 'question' must be str, not list",
    ),
    Mistake(
        "torn JSON",
        f"collect broken.jsonl {ASKING}",
        "broken.jsonl:2: not JSON: Expecting value, column 13",
    ),
    Mistake(
        "Latin-1",
        f"collect latin.jsonl {ASKING}",
        "latin.jsonl:1: not UTF-8: invalid continuation byte; save it as UTF-8",
    ),
    Mistake(
        "UTF-16",
        f"collect utf16.jsonl {ASKING}",
        "utf16.jsonl:1: not UTF-8 but UTF-16; save it as UTF-8",
    ),
    Mistake(
        "one id for two questions",
        f"collect twice.jsonl {ASKING}",
        "twice.jsonl:2: field 'id': '1' is another question at twice.jsonl:1",
    ),
    Mistake(
        "traces where questions belong",
        f"collect traces.jsonl {ASKING}",
        "traces.jsonl:1: this is a trace: read_traces reads it, or audit, distill and export",
    ),
    Mistake(
        "questions where traces belong",
        f"distill train.jsonl {TRAINING}",
        "train.jsonl:1: a question, not a trace: collect makes traces of questions",
    ),
    Mistake(
        "questions named as the output",
        "collect train.jsonl --teacher openai:m --base-url URL --output train.jsonl",
        "train.jsonl:1: a question, not a trace: collect makes traces of questions",
    ),
    Mistake(
        "a folder of traces",
        f"distill full {TRAINING}",
        "full: no file of traces (*.jsonl) is there",
    ),
    Mistake(
        "a table of cells imported under another name",
        "import csv.jsonl new/traces.jsonl",
        "csv.jsonl:1: not JSON: it begins with 'question,answer'; a table of cells must be named "
        ".csv or .tsv",
    ),
    Mistake(
        "no shard to merge",
        "merge t.jsonl",
        "t.jsonl.shards: no shard is there to merge into t.jsonl",
    ),
    Mistake(
        "a shard that is not there",
        f"collect train.jsonl {ASKING} --shard 9/8",
        "shard 9/8: shards count from 1, as 1/8 to 8/8",
    ),
    Mistake(
        "a study that is not there",
        "report full",
        "full/study.jsonl.gz: no such study; `paper` saves one into its output_dir",
    ),
    Mistake(
        "a plain model exported as a student",
        "export-student plain new/served --to vllm",
        "plain is not a complete distill() checkpoint: decompose_distill.json is missing; name a "
        "folder that distill wrote, or load a plain model as 'hf:plain'",
        code=1,
    ),
    Mistake(
        "a file that another run writes",
        "collect train.jsonl --teacher openai:m --base-url URL --output held.jsonl",
        "held.jsonl is being written by another run: wait for it, or name another file",
    ),
    Mistake(
        "a server that does not run",
        "evaluate train.jsonl --decomposer openai:m --solver openai:m "
        "--base-url http://localhost:1/v1",
        "http://localhost:1/v1 cannot be reached (ConnectError: All connection attempts failed): "
        "check that the server runs, and base_url or OPENAI_BASE_URL",
        code=1,
    ),
    Mistake(
        "nothing to compare answers with",
        "evaluate nogold.jsonl --decomposer openai:m --solver openai:m --base-url URL",
        "nogold.jsonl: no question has an answer to compare with: add 'answer'",
    ),
    Mistake(
        "no such student",
        "evaluate train.jsonl --decomposer runs/nope --solver openai:m --base-url URL",
        "runs/nope: no such folder of a student, and the hub is out of reach and was not asked for "
        "it before",
        code=1,
    ),
    Mistake(
        "a backend's name without its scheme",
        "evaluate train.jsonl --decomposer gpt-4.1 --solver openai:m --base-url URL",
        "--decomposer gpt-4.1: no such folder; a backend is written 'scheme:model'",
    ),
    Mistake(
        "a plain model as student",
        "evaluate train.jsonl --decomposer plain --solver openai:m --base-url URL",
        "plain is not a complete distill() checkpoint: decompose_distill.json is missing; name a "
        "folder that distill wrote, or load a plain model as 'hf:plain'",
        code=1,
    ),
    Mistake(
        "a student of another version",
        "evaluate train.jsonl --decomposer old --solver openai:m --base-url URL",
        "old/decompose_distill.json has format 9; this version reads format 1: load it with the "
        "version of decompose-distill that wrote it, or a newer one",
        code=1,
    ),
    Mistake("the output is a folder", f"{SCORING} --output full", "full is a folder: name a file"),
    Mistake(
        "the file of traces is a folder",
        "collect train.jsonl --teacher openai:m --base-url URL --output full",
        "full is a folder: name a file",
    ),
    Mistake(
        "the exported file is a folder",
        "export traces.jsonl full",
        "full is a folder: name a file",
    ),
    Mistake(
        "the output's folder is a file",
        f"{SCORING} --output file/figures.json",
        "file/figures.json: cannot write: File exists; name another place or fix its permissions",
    ),
    Mistake(
        "the student's folder is a file",
        "distill traces.jsonl --student base --output-dir file",
        "file is a file: name a folder",
    ),
    Mistake(
        "the study's folder is a file",
        "paper --teacher openai:m --base-url URL --student base --train train.jsonl "
        "--test heldout.jsonl --output-dir file",
        "file is a file: name a folder",
    ),
    Mistake(
        "the demo's folder holds something else",
        "demo --output-dir full",
        "output_dir full exists with other content: name a new directory",
    ),
    Mistake(
        "the student's folder holds something else",
        "distill traces.jsonl --student base --output-dir full",
        "output_dir full exists with other content: name a new directory",
    ),
    Mistake(
        "the study's folder is a student",
        "paper --teacher openai:m --base-url URL --student base --train train.jsonl "
        "--test heldout.jsonl --output-dir old",
        "--output-dir old is a student: name another directory",
    ),
    Mistake(
        "no figures to compare",
        "compare train.jsonl traces.jsonl",
        "train.jsonl: no figures with a score per question: write them with evaluate --output",
    ),
)
