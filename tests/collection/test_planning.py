"""A forecast sends nothing, says what it rests on, and comes true."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from decompose_distill import (
    Completion,
    Decomposer,
    Decomposition,
    Pipeline,
    Plan,
    Price,
    Question,
    Request,
    Sampling,
    Solution,
    Solver,
    Usage,
    collect,
    plan,
)
from decompose_distill.cost.forecast import Estimate
from decompose_distill.cost.pricing import add_usd

PRICES = {"m": Price(Decimal(1), Decimal(4))}
QUESTIONS = [Question(f"How old is {'very ' * (n % 7)}old {n}?") for n in range(200)]
FEW = QUESTIONS[:30]


class Server:
    """Counts a token for every 4.6 characters, and answers at length."""

    model = "m"
    max_in_flight = 8

    def __init__(self) -> None:
        self.asked = 0
        self._random = random.Random(0)

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            self.asked += 1
            read = sum(len(each.content) for each in request.messages) / 4.6
            split = request.id.startswith("decompose")
            steps = self._random.randint(2, 5)
            text = "\n".join(f"{n + 1}. How old is that person?" for n in range(steps))
            cut = not split and self._random.random() < 0.2
            written = 80 if cut else 9 * steps if split else self._random.randint(20, 70)
            yield Completion(
                request.id,
                text if split else "The answer is: 1",
                "length" if cut else "stop",
                Usage(round(read), written),
            )


def _pipeline(server: object, limit: int = 80) -> Pipeline:
    sampling = Sampling(max_new_tokens=limit)
    return Pipeline(
        Decomposer(server, sampling=sampling),  # type: ignore[arg-type]
        Solver(server, sampling=sampling),  # type: ignore[arg-type]
    )


def _roles(forecast: Plan) -> dict[str, int]:
    return {role.role: role.requests for role in forecast.roles}


def test_nothing_is_sent_and_the_figures_are_called_assumptions(tmp_path: Path) -> None:
    server = Server()
    forecast = plan(
        _pipeline(server, 512), QUESTIONS, tmp_path / "t.jsonl", samples=2, solves=3, prices=PRICES
    )

    assert server.asked == 0
    assert not list(tmp_path.iterdir())
    assert (forecast.missing, forecast.total) == (1200, 1200)
    assert _roles(forecast) == {"decomposer": 400, "solver": 1200}
    assert str(forecast).count("assuming answers of") == 2
    assert forecast.usd
    assert forecast.most_usd
    assert forecast.usd.low < forecast.usd.expected < forecast.usd.high < float(forecast.most_usd)
    assert forecast.seconds


def test_one_question_takes_as_long_as_its_requests_one_after_the_other(tmp_path: Path) -> None:
    alone = plan(_pipeline(Server()), QUESTIONS[:1], tmp_path / "one.jsonl").seconds
    some = plan(_pipeline(Server()), QUESTIONS[:8], tmp_path / "eight.jsonl").seconds
    assert alone
    assert some

    assert alone.expected > 2
    assert some.expected == pytest.approx(alone.expected, rel=0.1)


def test_once_a_few_are_collected_the_forecast_of_the_others_comes_true(tmp_path: Path) -> None:
    path, server = tmp_path / "t.jsonl", Server()
    options = {"samples": 2, "solves": 2, "prices": PRICES}
    before = collect(_pipeline(server), FEW, path, progress=False, **options)  # type: ignore[arg-type]
    forecast = plan(_pipeline(server), QUESTIONS, path, **options)  # type: ignore[arg-type]
    after = collect(_pipeline(server), QUESTIONS, path, progress=False, **options)  # type: ignore[arg-type]
    assert after.spent_usd
    assert before.spent_usd
    paid = float(after.spent_usd - before.spent_usd)

    assert "as 60 answers in the file did" in str(forecast)
    assert forecast.usd
    assert abs(forecast.usd.expected / paid - 1) < 0.15
    assert forecast.usd.low <= paid <= forecast.usd.high
    solver = forecast.roles[1]
    assert 0.1 < solver.measured.cut / solver.measured.answers < 0.3
    assert f"max_new_tokens=80 cut off {solver.measured.cut}" in str(forecast)


def test_thinking_has_a_line_of_its_own_once_it_is_measured(tmp_path: Path) -> None:
    class Thinking(Server):
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for each in super().generate(requests):
                tokens = each.usage.output_tokens
                yield replace(each, usage=replace(each.usage, reasoning_tokens=tokens // 2))

    path = tmp_path / "t.jsonl"
    before = plan(_pipeline(Thinking()), QUESTIONS, path, prices=PRICES)
    collect(_pipeline(Thinking()), FEW, path, prices=PRICES, progress=False)
    forecast = plan(_pipeline(Thinking()), QUESTIONS, path, prices=PRICES)
    solver = forecast.roles[1]

    assert "thinking" not in str(before)
    assert str(forecast).count("\n  thinking: ") == 2
    assert 0.4 < solver.reasoning_tokens.expected / solver.output_tokens.expected < 0.5


def test_what_is_in_the_file_is_subtracted(tmp_path: Path) -> None:
    path, server = tmp_path / "t.jsonl", Server()
    collect(_pipeline(server, 81), QUESTIONS[:8], path, prices=PRICES, progress=False)
    forecast = plan(_pipeline(server, 81), QUESTIONS[:10], path, solves=3, prices=PRICES)

    assert _roles(forecast) == {"decomposer": 2, "solver": 22}
    assert plan(_pipeline(server, 82), QUESTIONS[:10], path).missing == 10  # another pipeline
    done = plan(_pipeline(server, 81), QUESTIONS[:8], path, prices=PRICES)
    assert (done.missing, done.most_usd) == (0, 0)


def test_a_limit_below_long_answers_is_pointed_out() -> None:
    assert "max_new_tokens=64, which would cut off long ones" in str(
        plan(_pipeline(Server(), 64), FEW)
    )
    assert "cut off" not in str(plan(_pipeline(Server(), 512), FEW))


def test_without_a_price_the_cost_is_unknown_and_says_what_to_give() -> None:
    forecast = plan(_pipeline(Server()), FEW)

    assert forecast.usd is forecast.most_usd is None
    assert "cost: an unknown amount, as no price is known; give it in prices" in str(forecast)


def test_no_forecast_exceeds_what_a_budget_would_reserve() -> None:
    forecast = plan(_pipeline(Server(), 40), FEW, prices=PRICES)
    for role in forecast.roles:
        assert role.input_tokens.high <= role.most.input_tokens
        assert role.output_tokens.high <= role.most.output_tokens
    assert forecast.most_usd == add_usd(role.most_usd for role in forecast.roles)


def test_a_local_models_tokenizer_counts(tiny_dir: Path) -> None:
    from decompose_distill.models.chat_template import prompt_ids
    from decompose_distill.models.loading import load_tokenizer

    class Local(Server):
        tokenizer = load_tokenizer(tiny_dir)

    pipeline = _pipeline(Local())
    assert isinstance(pipeline.decomposer, Decomposer)
    chats = [pipeline.decomposer.prompt.render(question) for question in FEW]
    tokens = sum(len(prompt_ids(Local.tokenizer, chat)) for chat in chats)
    read = plan(pipeline, FEW).roles[0].input_tokens

    assert read.low == read.high == pytest.approx(tokens)


def test_a_stage_without_a_backend_has_no_forecast() -> None:
    class Calculator:
        """Answers without a model."""

        def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution]:
            return (Solution(each, "42") for each in decompositions)

    pipeline = Pipeline(None, Calculator())

    assert plan(pipeline, FEW).roles == ()
    assert "time: unknown" in str(plan(pipeline, FEW))


def test_spans_add_and_multiply_end_by_end() -> None:
    assert Estimate(1, 2, 3) + Estimate(1, 1, 1) == Estimate(2, 3, 4)
    assert Estimate(1, 2, 3) * Estimate(2, 2, 3) * 2 == Estimate(4, 8, 18)
