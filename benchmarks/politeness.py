"""How much of a limited server the client uses, how often it is refused, and what faults cost.

    python benchmarks/politeness.py --json politeness.json

A token bucket refuses what comes too fast, without a hint, with `retry-after-ms`, or with the
headers `x-ratelimit-*` on every answer: at least 90 % of the tokens are to be used and under 2 % of
the answers to be 429, once the client is warm. A server without a limit that refuses one in twenty
at random, with or without `retry-after-ms`, is to serve at least 70 % of what it serves otherwise,
from the first request on and with each of several seeds. Then a server fails a fifth of its answers
and never gives a twentieth: every request is to come back, answered or as an error. A client
without control (as many requests at once as are allowed, each tried again after a second) runs
beside it.
"""

import argparse
import asyncio
import itertools
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from statistics import median

import httpx2
from simulated_teacher import Behaviour, served, simulated_teacher

from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.types import Message, Request

RATE, BURST, SCALE = 60.0, 20.0, 0.1
UNHURRIED = 0.3
"""Scale of the latencies at which 64 requests at once, and not this machine, are the limit."""
HINTS = {
    "none": {},
    "retry_after": {"retry_after": True},
    "resets": {"resets": True},
}
LIMITS = {"capacity_used": 0.9, "refused_share": 0.02, "throughput_kept": 0.7}
AT_RANDOM = {
    "none": {},
    "without hint": {"refusing": 0.05},
    "retry_after": {"refusing": 0.05, "retry_after": True},
}

Client = Callable[[str, threading.Event], None]


def request(number: int) -> Request:
    return Request(str(number), (Message("user", f"How old are Ada and Bob, question {number}?"),))


def ours(url: str, end: threading.Event) -> None:
    backend = OpenAIBackend("simulated", base_url=url, max_in_flight=64)
    requests = itertools.takewhile(lambda _: not end.is_set(), map(request, itertools.count()))
    for _ in backend.generate(requests):
        pass


def without_control(url: str, end: threading.Event) -> None:
    async def worker(client: httpx2.AsyncClient) -> None:
        body = {"model": "simulated", "messages": [{"role": "user", "content": "How old is Ada?"}]}
        while not end.is_set():
            answer = await client.post(f"{url}/chat/completions", json=body)
            if answer.status_code == 429:
                await asyncio.sleep(1)

    async def run() -> None:
        limits = httpx2.Limits(max_connections=64)
        async with httpx2.AsyncClient(limits=limits, timeout=None) as client:
            await asyncio.gather(*[worker(client) for _ in range(64)])

    asyncio.run(run())


def measure(
    client: Client, behaviour: Behaviour, warm_up: float, seconds: float
) -> tuple[float, float, int]:
    """Answers a second that were served and refused, and how many were refused in the warm-up."""
    with simulated_teacher(behaviour) as url:
        end = threading.Event()
        thread = threading.Thread(target=client, args=(url, end), daemon=True)
        thread.start()
        time.sleep(warm_up)
        before, start = served(url), time.monotonic()
        time.sleep(seconds)
        after, passed = served(url), time.monotonic() - start
        end.set()
        thread.join(60)
    taken, refused = after.served - before.served, after.refused - before.refused
    return taken / passed, refused / passed, before.refused


def use(client: Client, hints: dict[str, bool], warm_up: float, seconds: float) -> dict[str, float]:
    """Share of the tokens used and of the answers refused, after the warm-up."""
    behaviour = Behaviour(scale=SCALE, rate=RATE, burst=BURST, **hints)
    served, refused, before = measure(client, behaviour, warm_up, seconds)
    return {
        "capacity_used": served / RATE,
        "refused_share": refused / max(1e-9, served + refused),
        "refused_in_warm_up": before,
    }


def at_random(client: Client, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Answers a second with refusals at random, and their share of those without, over the seeds.

    Counted from the first request on, as a short run is to be spared too.
    """
    runs = [
        {
            kind: measure(client, Behaviour(UNHURRIED, seed=seed, **behaviour), 0, args.seconds)[0]
            for kind, behaviour in AT_RANDOM.items()
        }
        for seed in args.seeds
    ]
    kept = {kind: [run[kind] / run["none"] for run in runs] for kind in AT_RANDOM}
    return {
        kind: {
            "per_second": round(median(run[kind] for run in runs), 1),
            "kept": round(median(kept[kind]), 3),
            "kept_at_worst": round(min(kept[kind]), 3),
        }
        for kind in AT_RANDOM
    }


CLIENTS: dict[str, Client] = {"ours": ours, "without_control": without_control}


def repeat(client: Client, hints: dict[str, bool], args: argparse.Namespace) -> dict[str, float]:
    runs = [use(client, hints, args.warm_up, args.seconds) for _ in range(args.repeat)]
    return {name: round(median(run[name] for run in runs), 4) for name in runs[0]}


def faults(count: int) -> dict[str, object]:
    """What comes back of a server that fails a fifth and hangs at a twentieth of its answers."""
    behaviour = Behaviour(scale=SCALE / 4, failing=0.2, hanging=0.05)
    with simulated_teacher(behaviour) as url:
        backend = OpenAIBackend("simulated", base_url=url, max_in_flight=64, timeout=2.0)
        back: Counter[str] = Counter()
        ids, unanswered, errors = Counter[str](), 0, []
        for completion in backend.generate(map(request, range(count))):
            back[completion.finish] += 1
            ids[completion.id] += 1
            unanswered += completion.unanswered
            errors += [completion.error] if completion.error else []
        stats = served(url)
    once = set(ids.values()) == {1} and len(ids) == count
    return {
        "asked": count,
        "finished": back["stop"],
        "errors": back["error"],
        "each_once": once,
        "unanswered_counted": unanswered,
        "server": asdict(stats),
        "accounted": once and all(errors) and stats.hung + stats.failed == unanswered,
        "examples": errors[:2],
    }


def missed(figures: dict[str, dict[str, dict[str, float]]]) -> Iterator[str]:
    for hint, found in figures["ours"].items():
        if found["capacity_used"] < LIMITS["capacity_used"]:
            yield f"hints {hint}: only {found['capacity_used']:.1%} of the capacity used"
        if found["refused_share"] > LIMITS["refused_share"]:
            yield f"hints {hint}: {found['refused_share']:.1%} of the answers were refusals"


def starved(random: dict[str, dict[str, float]]) -> Iterator[str]:
    for kind, figures in random.items():
        if (kept := figures["kept_at_worst"]) < LIMITS["throughput_kept"]:
            yield f"refusals at random, {kind}: at worst only {kept:.1%} of the throughput"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write the figures here")
    parser.add_argument("--warm-up", type=float, default=10.0, help="seconds not counted")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds counted")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the median is given")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="seeds of the refusals at random"
    )
    parser.add_argument("--faults", type=int, default=3000, help="requests to the faulty server")
    args = parser.parse_args()
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name, client in CLIENTS.items():
        figures[name] = {hint: repeat(client, HINTS[hint], args) for hint in HINTS}
        print(name, json.dumps(figures[name], indent=1), flush=True)
    random = {name: at_random(client, args) for name, client in CLIENTS.items()}
    print(json.dumps(random, indent=1), flush=True)
    broken = faults(args.faults)
    print("faults", json.dumps(broken, indent=1))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(
                {**figures, "at_random": random, "faults": broken, "rate": RATE, "burst": BURST},
                file,
                indent=1,
            )
    problems = [
        *missed(figures),
        *starved(random["ours"]),
        *([] if broken["accounted"] else ["faults: not accounted for"]),
    ]
    print("\n".join(problems) or "kept")
    return not broken["accounted"]  # the shares are figures of a machine, to be read


if __name__ == "__main__":
    sys.exit(main())
