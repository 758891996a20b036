"""What the rate control leaves of limited servers, in simulated time.

    PYTHONPATH=. python benchmarks/limited_servers.py --json figures.json
    PYTHONPATH=. python benchmarks/limited_servers.py --seconds 3 --first-seed 7000  # short runs

The real rate control asks the servers of `tests/support/limited_servers.py`, 64 requests at once.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.support.limited_servers import (
    LATENCIES,
    Limit,
    LimitedServer,
    ask,
    at_random,
    changing,
    fixed_window,
    free,
    sliding_window,
    token_bucket,
)

LIMITED: dict[str, Callable[[int], LimitedServer]] = {
    "token bucket": lambda seed: LimitedServer(token_bucket(), seed=seed),
    "token bucket, constant latencies": lambda seed: LimitedServer(
        token_bucket(), LATENCIES["constant"], seed=seed
    ),
    "token bucket, hints": lambda seed: LimitedServer(token_bucket(), hints=True, seed=seed),
    "token bucket, burst 2": lambda seed: LimitedServer(token_bucket(burst=2), seed=seed),
    "fixed window of 10 s": lambda seed: LimitedServer(fixed_window(phase=seed / 8), seed=seed),
    "fixed window of 10 s, constant latencies": lambda seed: LimitedServer(
        fixed_window(phase=seed / 8), LATENCIES["constant"], seed=seed
    ),
    "fixed window of 10 s, hints": lambda seed: LimitedServer(
        fixed_window(phase=seed / 8), hints=True, seed=seed
    ),
    "fixed window of 1 s": lambda seed: LimitedServer(fixed_window(60, 1), seed=seed),
    "sliding window of 10 s": lambda seed: LimitedServer(sliding_window(), seed=seed),
    "token bucket that had been 180 per second": lambda seed: LimitedServer(
        changing(token_bucket(180), token_bucket(), at=5), seed=seed
    ),
    "token bucket, 5 % at random": lambda seed: LimitedServer(_both(seed), seed=seed),
    "token bucket, 5 % at random, hints": lambda seed: LimitedServer(
        _both(seed), hints=True, seed=seed
    ),
}
"""Servers that let 60 requests per second through, by seed."""


def _both(seed: int) -> Limit:
    bucket, random = token_bucket(), at_random(0.05, seed)
    return lambda now: random(now) or bucket(now)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=8, help="of each server with a limit")
    parser.add_argument("--seeds", type=int, default=20, help="of refusals at random")
    parser.add_argument("--first-seed", type=int, default=4001, help="of refusals at random")
    parser.add_argument("--seconds", type=float, default=10.0, help="of refusals at random")
    args = parser.parse_args()
    figures = limited(args.runs) | {"two clients, token bucket": shared(args.runs)}
    figures |= unlimited(range(args.first_seed, args.first_seed + args.seeds), args.seconds)
    for name, row in figures.items():
        print(name, *(f"{key} {value:.1%}" for key, value in row.items()), sep=", ")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def limited(runs: int) -> dict[str, dict[str, float]]:
    """What servers with a limit serve of it and refuse, 10 s after the first request."""
    return {
        name: _figures([ask(server(seed), 60) for seed in range(runs)])
        for name, server in LIMITED.items()
    }


def shared(runs: int) -> dict[str, float]:
    """The same where two clients ask one server."""
    servers = [LimitedServer(token_bucket(), seed=seed) for seed in range(runs)]
    return _figures([ask(server, 60, clients=2) for server in servers])


def _figures(runs: list[LimitedServer]) -> dict[str, float]:
    used = [run.used(10, 60) / 60 for run in runs]
    refused = [run.refused_share(10, 60) for run in runs]
    return {
        "used": median(used),
        "used at worst": min(used),
        "refused": median(refused),
        "refused at most": max(refused),
    }


def unlimited(seeds: range, seconds: float) -> dict[str, dict[str, float]]:
    """What servers that refuse at random serve of what they would without."""
    free_runs = {
        seed: len(ask(LimitedServer(free, LATENCIES["long"], seed=seed), seconds).served)
        for seed in seeds
    }
    figures = {}
    for share in (0.01, 0.02, 0.05, 0.1):
        for hints in (False, True):
            kept = []
            for seed, freely in free_runs.items():
                server = LimitedServer(at_random(share, seed), LATENCIES["long"], hints, seed)
                kept.append(len(ask(server, seconds).served) / freely)
            wait = "half a second to wait" if hints else "no hint"
            figures[f"{share:.0%} at random, {wait}"] = {
                "kept": median(kept),
                "kept at worst": min(kept),
            }
    return figures


if __name__ == "__main__":
    main()
