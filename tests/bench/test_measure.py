"""What the benchmarks make of seconds."""

from bench.measure import Delay, Figure, Side, Skipped, in_turn, percentile


def test_rates_are_compared_though_the_sides_differ_in_size() -> None:
    # 500, 1,000 and 250 units a second against 5, 5 and 10.
    figure = Figure("name", Side([2, 1, 4], 1_000), Side([2, 2, 1], 10), 100, "units", "none")
    assert figure.ratios == [25, 100, 200]
    assert (figure.ratio, figure.verdict) == (100, "holds")
    assert figure.lines() == [
        "name  100  100  holds",
        "    ours 2000 ms = 500 units/s; baseline 2000 ms = 5 units/s; ratios 25 to 200",
        "    none",
    ]


def test_a_delay_holds_up_to_its_aim() -> None:
    usual = Delay("p50", 50, [0.3, 0.1, 0.2], [0.2, 0.2, 0.1], 1.0, "none")
    worst = Delay("p99", 99, [0.3, 0.1, 0.2], [0.2, 0.2, 0.1], 1.0, "none")
    assert (usual.ratio, usual.verdict) == (1.0, "holds")
    assert worst.verdict == "short"
    assert worst.lines()[:2] == [
        "p99  1.5  1  short",
        "    ours 300 ms; baseline 200 ms; at most the aim; 3 samples of each",
    ]


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(number) for number in range(200, 0, -1)]
    assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [2, 100, 198, 200]


def test_what_was_skipped_says_why() -> None:
    assert Skipped("name", "no such program").lines() == ["name  -  -  skipped", "    no such program"]


def test_every_other_round_runs_backwards() -> None:
    calls: list[str] = []
    seconds = in_turn({name: lambda name=name: calls.append(name) for name in "abc"}, rounds=2)  # type: ignore[misc]
    assert "".join(calls) == "abcabccba"
    assert {name: len(found) for name, found in seconds.items()} == {"a": 2, "b": 2, "c": 2}
