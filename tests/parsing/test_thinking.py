"""Thinking is split off in all its spellings, and the tokens of a turn are taken off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill.parsing import split_thinking

WHOLE = {
    "think": "<think>\nAda? Bob?\n</think>\n\n72",
    "capitals": "<THINK>Ada? Bob?</THINK>72",
    "attribute": '<thinking time="3">Ada? Bob?</thinking>72',
    "thinking": "<thinking>Ada? Bob?</thinking>72",
    "mixed spelling": "<thinking>Ada? Bob?</think>72",
    "thought": "<thought>Ada? Bob?</thought>72",
    "reasoning": "<reasoning>Ada? Bob?</reasoning>72",
    "scratchpad": "<scratchpad>Ada? Bob?</scratchpad>72",
    "seed": "<seed:think>Ada? Bob?</seed:think>72",
    "brackets": "[THINK]Ada? Bob?[/THINK]72",
    "kimi": "◁think▷Ada? Bob?◁/think▷72",
    "command": "<|START_THINKING|>Ada? Bob?<|END_THINKING|><|START_RESPONSE|>72<|END_RESPONSE|>",
    "open thoughts": "<|begin_of_thought|>Ada? Bob?<|end_of_thought|>72",
    "gemma": "<|channel>thought\nAda? Bob?<channel|>72",
    "granite": "Here is my thought process: Ada? Bob?\nHere is my response: 72",
    "console": "Thinking...\nAda? Bob?\n...done thinking.\n\n72",
    "opened by the prompt": "Ada? Bob?\n</think>\n72",
    "opened by prompt and model": "<think>\n<think>\nAda? Bob?</think>72",
    "opened by the prompt, brackets": "Ada? Bob?[/THINK]72",
    "channels": "<|channel|>analysis<|message|>Ada? Bob?<|end|><|start|>assistant"
    "<|channel|>final<|message|>72<|return|>",
    "channel opened by the prompt": "Ada? Bob?<|end|><|start|>assistant"
    "<|channel|>final<|message|>72",
    "constrained channel": "<|channel|>analysis<|message|>Ada? Bob?<|end|><|start|>assistant"
    "<|channel|>final <|constrain|>json<|message|>72<|return|>",
    "channels without tokens": "analysisAda? Bob?assistantfinal72",
    "final channel without tokens": "Ada? Bob?assistantfinal72",
}


@pytest.mark.parametrize("spelling", WHOLE)
def test_thinking_in_any_spelling_is_split_off(spelling: str) -> None:
    assert split_thinking(WHOLE[spelling]) == ("Ada? Bob?", "72", True)


@pytest.mark.parametrize(
    ("text", "reasoning", "rest"),
    [
        ("<think>a <think>b</think> c</think>72", "a\nb\nc", "72"),
        ("<think>a<thinking>b</thinking>c</think>72", "a\nb\nc", "72"),
        ("<think>a</think><think>b</think>72", "a\nb", "72"),
        ("<think>a</think>b</think>72", "a\nb", "72"),
        ("a</think>b</think>72", "a\nb", "72"),
        ("<think>in <reasoning> tags?</think>72", "in <reasoning> tags?", "72"),
        ("<think>end with `</think>`</think>72", "end with `</think>`", "72"),
        ("<think></think>\n\n72", "", "72"),
        ("So <think>a</think>72", "a", "So\n72"),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary"
            "<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>72",
            "a\nb",
            "72",
        ),
        (
            "analysisFirst a.assistantcommentaryB.assistantfinal72",
            "First a.assistantcommentaryB.",
            "72",
        ),
        ("final72", "", "72"),
    ],
)
def test_blocks_may_follow_and_hold_one_another(text: str, reasoning: str, rest: str) -> None:
    assert split_thinking(text) == (reasoning, rest, True)


@pytest.mark.parametrize(
    ("text", "reasoning", "rest"),
    [
        ("<think>Ada? Bo", "Ada? Bo", ""),
        ("[THINK]Ada? Bo", "Ada? Bo", ""),
        ("<think>a<think>b</think>Ada?", "a\nb\nAda?", ""),
        ("72<think>but", "but", "72"),
        ("<|channel|>analysis<|message|>Ada? Bo", "Ada? Bo", ""),
        ("analysisAda? Bo", "Ada? Bo", ""),
        ("analysis\nAda? Bo", "Ada? Bo", ""),
    ],
)
def test_thinking_that_never_ended_says_so(text: str, reasoning: str, rest: str) -> None:
    assert split_thinking(text) == (reasoning, rest, False)


@pytest.mark.parametrize(
    "text",
    [
        "72",
        "What does `</think>` mark?",
        "Analysis of the question: 72",
        "analysis: 72",
        "finally 72",
        "The final answer is 72",
        "What does </s> mean? And <|im_end|> here?",
        "Is a < b > c?",
        "",
    ],
)
def test_a_text_without_thinking_stays(text: str) -> None:
    assert split_thinking(text) == ("", text, True)


@pytest.mark.parametrize(
    "text",
    [
        "72<|im_end|>",
        "72</s>",
        "72<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n1. More?",
        "72<end_of_turn>\n",
        "72<｜end▁of▁sentence｜>",
        "72<|endoftext|><|endoftext|>",
        "72</s></s>",
        "72[/INST] 1. More?",
        "<|im_start|>assistant\n72<|im_end|>\n<|im_start|>user\n1. More?",
        "<start_of_turn>model\n72<end_of_turn>",
        "<s>72</s>",
        "<think>a</think><|START_RESPONSE|>72<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
        "[|assistant|]72[|endofturn|]",
        "<bos>72<eos>",
    ],
)
def test_tokens_that_begin_and_end_a_turn_are_taken_off(text: str) -> None:
    assert split_thinking(text).rest == "72"


MARKS = ["<think>", "</think>", "<thinking>", "[THINK]", "[/THINK]", "<|channel|>", "analysis"]
WORDS = ["final", "<|message|>", "assistantfinal", "<|end|>", "</s>", "Ada", "?", " ", "\n", "`"]
PIECES = st.sampled_from([*MARKS, *WORDS])


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_any_text_is_split_and_what_is_split_once_stays(text: str) -> None:
    reasoning, rest, closed = split_thinking(text)

    assert reasoning == reasoning.strip()
    assert len(reasoning) + len(rest) <= len(text)
    assert closed or reasoning or len(rest) < len(text)


SAYINGS = st.text(alphabet="ab ?\n1.", min_size=1).filter(str.strip)


@given(
    SAYINGS,
    SAYINGS,
    st.sampled_from(["<think>{}</think>{}", "[THINK]{}[/THINK]{}", "{}</think>{}"]),
)
def test_what_is_rendered_as_thinking_is_read_as_thinking(
    thought: str, answer: str, form: str
) -> None:
    reasoning, rest, closed = split_thinking(form.format(thought, answer))

    assert (reasoning, rest.strip(), closed) == (thought.strip(), answer.strip(), True)
