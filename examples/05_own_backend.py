"""A backend of your own: one method, checked by the conformance kit.

This one keeps several requests under way in threads, as a slow service wants it.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import decompose_distill as dd


class SlowService:
    """Stands for any service that takes its time."""

    identity = "slow-service 1"

    def __init__(self, in_flight: int = 8) -> None:
        self.in_flight = in_flight

    def generate(self, requests: Iterable[dd.Request]) -> Iterator[dd.Completion]:
        """Complete requests in order, with up to `in_flight` under way."""
        with ThreadPoolExecutor(self.in_flight) as pool:
            under_way: deque[Future[dd.Completion]] = deque()
            for request in requests:
                under_way.append(pool.submit(self._complete, request))
                if len(under_way) == self.in_flight:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

    def _complete(self, request: dd.Request) -> dd.Completion:
        time.sleep(0.02)
        prompt = request.messages[-1].content
        split = "1. What is 6?\n2. What is 7?\n3. What is #1 times #2?"
        text = "The answer is: 42" if "Subquestions:" in prompt else split
        words, limit = text.split(), request.sampling.max_new_tokens
        usage = dd.Usage(len(prompt.split()), min(len(words), limit))
        if len(words) > limit:
            return dd.Completion(request.id, " ".join(words[:limit]), "length", usage)
        return dd.Completion(request.id, text, "stop", usage)


def main() -> None:
    dd.testing.check_backend(SlowService)
    print("the backend keeps the protocol")

    service = SlowService()
    pipeline = dd.Pipeline(dd.Decomposer(service), dd.Solver(service))
    questions = [dd.Question(f"What is 6 times 7, time {number}?", "42") for number in range(40)]
    began = time.perf_counter()
    print(dd.evaluate(pipeline, questions, name="slow service"))
    speed = 2 * len(questions) * 0.02 / (time.perf_counter() - began)
    print("faster than one by one:", speed > 1.5)


if __name__ == "__main__":
    main()
