"""What the rate control leaves of limited servers, in simulated time.

    PYTHONPATH=. python benchmarks/limited_servers.py

The real rate control asks the servers of `tests/support/limited_servers.py`, 64 requests at once.
"""

from collections.abc import Callable
from statistics import median

from tests.support.limited_servers import (
    LATENCIES,
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
}
"""Servers that let 60 requests per second through, by seed."""


def main() -> None:
    for name, limited in LIMITED.items():
        runs = [ask(limited(seed), 60) for seed in range(8)]
        used = [run.used(10, 60) / 60 for run in runs]
        refused = [run.refused_share(10, 60) for run in runs]
        print(
            f"{name}: used {median(used):.1%}, at worst {min(used):.1%}; "
            f"refused {median(refused):.1%}, at most {max(refused):.1%}",
            flush=True,
        )
    for share in (0.01, 0.02, 0.05, 0.1):
        for hints in (False, True):
            kept = []
            for seed in range(4001, 4021):
                freely = ask(LimitedServer(free, LATENCIES["long"], seed=seed), 10)
                server = LimitedServer(at_random(share, seed), LATENCIES["long"], hints, seed)
                kept.append(len(ask(server, 10).served) / len(freely.served))
            print(
                f"{share:.0%} at random, {'half a second to wait' if hints else 'no hint'}: "
                f"kept {median(kept):.1%}, at worst {min(kept):.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
