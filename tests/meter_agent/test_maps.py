"""Every register map against frames that were written and decoded by hand."""

import asyncio
from pathlib import Path

import pytest

from meter_agent.buses import BusConfig
from meter_agent.maps import FOLDER, MAPS, read_maps
from meter_agent.meters import MeterConfig
from meter_agent.reader import Meter
from meter_agent.registers import MICRO, MeterError, Quantity, RawCounter
from tests.meter_agent.frames import tcp_meter

EXPORT, IMPORT = Quantity.EXPORT, Quantity.IMPORT
R1, R2, R3, R4 = Quantity.REACTIVE_1, Quantity.REACTIVE_2, Quantity.REACTIVE_3, Quantity.REACTIVE_4
U64 = 1 << 64


def micro(wh: str) -> RawCounter:
    """A counter without wrap, from Wh with six decimals."""
    whole, _, decimals = wh.partition(".")
    return RawCounter(int(whole + decimals.ljust(6, "0")), MICRO, None)


def read(
    name: str, answers: dict[str, str], quantities: tuple[Quantity, ...] = tuple(Quantity)
) -> dict[Quantity, RawCounter]:
    """What the box reads from unit 7."""

    async def run() -> dict[Quantity, RawCounter]:
        async with tcp_meter(answers) as bus:
            return await Meter(bus, MeterConfig(BusConfig(), 7, MAPS[name], 100), quantities).counters()

    return asyncio.run(run())


SDM630 = {
    # function 4, from 0x0048 four registers
    "07 04 00 48 00 04": "07 04 08"
    # import: 0x4640E6B7 = (2^23 + 0x40E6B7) / 2^10 = 12641975 / 1024 = 12345.6787109375 kWh
    "46 40 e6 b7"
    # export: 0x3FC00000 = 1.5 kWh
    "3f c0 00 00",
}


def test_eastron_sdm630_shows_kwh_as_floats_high_word_first() -> None:
    assert read("sdm630", SDM630) == {IMPORT: micro("12345678.710937"), EXPORT: micro("1500")}


UMG = {
    # function 3, from 19068 = 0x4A7C ten registers
    "07 03 4a 7c 00 0a": "07 03 14"
    # 19068 consumed: 0x4B3C614E = 12345678 Wh
    "4b 3c 61 4e"
    # 19070 to 19075: delivered by phase, not used
    "3f 80 00 00 40 00 00 00 40 40 00 00"
    # 19076 delivered: 0x42C80000 = 100 Wh
    "42 c8 00 00",
}


def test_janitza_umg_shows_wh_as_floats() -> None:
    assert read("umg", UMG) == {IMPORT: micro("12345678"), EXPORT: micro("100")}


EM340 = {
    # function 4, two registers each, the low word first
    "07 04 00 34 00 02": "07 04 04 e2 40 00 01",  # 0x0001E240 = 123456, so 12345.6 kWh taken
    "07 04 00 4e 00 02": "07 04 04 00 64 00 00",  # 0x00000064 = 100, so 10.0 kWh given
}


def test_carlo_gavazzi_em340_shows_tenths_of_kwh_low_word_first() -> None:
    assert read("em340", EM340) == {IMPORT: RawCounter(123456, 2, None), EXPORT: RawCounter(100, 2, None)}


CVM_C11 = {
    # function 4, two registers each, kWh and kvarh
    "07 04 00 dc 00 02": "07 04 04 00 01 e2 40",  # active consumed: 123456
    "07 04 00 e0 00 02": "07 04 04 00 00 03 e8",  # inductive consumed: 1000
    "07 04 00 e4 00 02": "07 04 04 00 00 00 07",  # capacitive consumed: 7
    "07 04 00 f0 00 02": "07 04 04 00 00 10 00",  # active generated: 4096
    "07 04 00 f4 00 02": "07 04 04 00 00 00 2a",  # inductive generated: 42
    "07 04 00 f8 00 02": "07 04 04 00 00 00 01",  # capacitive generated: 1
}


def test_circutor_cvm_c11_counts_reactive_energy_in_all_quadrants() -> None:
    assert read("cvm-c11", CVM_C11) == {
        IMPORT: RawCounter(123456, 3),
        EXPORT: RawCounter(4096, 3),
        R1: RawCounter(1000, 3),
        R2: RawCounter(1, 3),
        R3: RawCounter(42, 3),
        R4: RawCounter(7, 3),
    }


def sunspec(model: int, length: int, block: str) -> dict[str, str]:
    """A device whose second model is this one, and its first registers from 40070 = 0x9C86 on."""
    words = len(bytes.fromhex(block)) // 2
    return {
        "07 03 9c 40 00 02": "07 03 04 53 75 6e 53",  # 40000: "SunS"
        "07 03 9c 42 00 02": "07 03 04 00 01 00 42",  # 40002: model 1 with 66 registers
        "07 03 9c 86 00 02": "07 03 04" + f"{model:04x}{length:04x}",  # 40070
        f"07 03 9c 86 00 {words:02x}": f"07 03 {2 * words:02x}" + block,
    }


def integers(model: int) -> str:
    """Registers 0 to 104 of a model 201 to 204."""
    return (
        f"{model:04x} 0069"  # id, length
        + "0000" * 36  # currents, voltages, powers
        + "0001 e240"  # 38: TotWhExp = 123456
        + "0000" * 6  # by phase
        + "00bc 614e"  # 46: TotWhImp = 12345678
        + "0000" * 6
        + "fffe"  # 54: TotWh_SF = -2
        + "0000" * 17  # apparent energy
        + "0000 0065"  # 72: TotVArhImpQ1 = 101
        + "0000" * 6
        + "0000 00ca"  # 80: TotVArhImpQ2 = 202
        + "0000" * 6
        + "0000 012f"  # 88: TotVArhExpQ3 = 303
        + "0000" * 6
        + "0000 0194"  # 96: TotVArhExpQ4 = 404
        + "0000" * 6
        + "0001"  # 104: TotVArh_SF = 1
    )


@pytest.mark.parametrize("model", [201, 202, 203, 204])
def test_sunspec_meters_with_whole_numbers(model: int) -> None:
    assert read(f"sunspec{model}", sunspec(model, 105, integers(model))) == {
        EXPORT: RawCounter(123456, -2),
        IMPORT: RawCounter(12345678, -2),
        R1: RawCounter(101, 1),
        R2: RawCounter(202, 1),
        R3: RawCounter(303, 1),
        R4: RawCounter(404, 1),
    }


def floats(model: int) -> str:
    """Registers 0 to 117 of a model 211 to 214."""
    return (
        f"{model:04x} 007c"
        + "0000" * 58
        + "4b3c 614e"  # 60: TotWhExp = 12345678 Wh
        + "0000" * 6
        + "43fa 4000"  # 68: TotWhImp = 500.5 Wh
        + "0000" * 22
        + "3f80 0000"  # 92: TotVArhImpQ1 = 1 varh
        + "0000" * 6
        + "4000 0000"  # 100: TotVArhImpQ2 = 2
        + "0000" * 6
        + "4040 0000"  # 108: TotVArhExpQ3 = 3
        + "0000" * 6
        + "4080 0000"  # 116: TotVArhExpQ4 = 4
    )


@pytest.mark.parametrize("model", [211, 212, 213, 214])
def test_sunspec_meters_with_floats(model: int) -> None:
    assert read(f"sunspec{model}", sunspec(model, 124, floats(model))) == {
        EXPORT: micro("12345678"),
        IMPORT: micro("500.5"),
        R1: micro("1"),
        R2: micro("2"),
        R3: micro("3"),
        R4: micro("4"),
    }


@pytest.mark.parametrize("model", [101, 102, 103])
def test_sunspec_inverters_with_whole_numbers(model: int) -> None:
    # 24: WH = 0x075BCD15 = 123456789, 26: WH_SF = 1
    block = f"{model:04x} 0032" + "0000" * 22 + "075b cd15 0001"
    assert read(f"sunspec{model}", sunspec(model, 50, block)) == {EXPORT: RawCounter(123456789, 1)}


@pytest.mark.parametrize("model", [111, 112, 113])
def test_sunspec_inverters_with_floats(model: int) -> None:
    block = f"{model:04x} 003c" + "0000" * 30 + "42c8 0000"  # 32: WH = 100
    assert read(f"sunspec{model}", sunspec(model, 60, block)) == {EXPORT: micro("100")}


def der(absorbed: str = "0000 0000 0000 03e7") -> str:
    """Registers 0 to 120 of a model 701."""
    return (
        "02bd 0099"  # 701, 153
        + "0000" * 17
        + "0000 0001 0000 0000"  # 19: TotWhInj = 2^32
        + absorbed  # 23: TotWhAbs = 999
        + "0000" * 93
        + "ffff"  # 120: TotWh_SF = -1
    )


def test_sunspec_701_has_counters_of_64_bits() -> None:
    assert read("sunspec701", sunspec(701, 153, der())) == {
        EXPORT: RawCounter(1 << 32, -1, U64),
        IMPORT: RawCounter(999, -1, U64),
    }


def test_what_a_meter_does_not_implement_is_named() -> None:
    with pytest.raises(MeterError, match="the import counter at 23 is not implemented"):
        read("sunspec701", sunspec(701, 153, der("ffff ffff ffff ffff")))
    with pytest.raises(MeterError, match="the import counter at 52 is not implemented"):
        read("em340", EM340 | {"07 04 00 34 00 02": "07 04 04 ff ff 7f ff"})  # EEE on its display
    with pytest.raises(MeterError, match="the export counter at 74 is not implemented"):
        read("sdm630", {"07 04 00 48 00 04": "07 04 08 46 40 e6 b7 7f c0 00 00"})  # not a number
    reactive = integers(203)[:-4] + "8000"
    with pytest.raises(MeterError, match="scale factor at offset 104 is not implemented"):
        read("sunspec203", sunspec(203, 105, reactive))


def test_what_is_not_needed_is_neither_read_nor_missed() -> None:
    energy = {"07 04 00 34 00 02": EM340["07 04 00 34 00 02"]}
    assert read("em340", energy, (IMPORT,)) == {IMPORT: RawCounter(123456, 2, None)}


def test_no_counter_shows_less_than_nothing_or_more_than_can_be_kept() -> None:
    with pytest.raises(MeterError, match=r"import counter at 52 shows -1e2, which is not what a counter shows"):
        read("em340", EM340 | {"07 04 00 34 00 02": "07 04 04 ff ff ff ff"})
    with pytest.raises(MeterError, match="import counter at 23 shows 18446744073709551614e-1"):
        read("sunspec701", sunspec(701, 153, der("ffff ffff ffff fffe")))
    with pytest.raises(MeterError, match=r"export counter at 74 .* is not what a counter shows"):
        read("sdm630", {"07 04 00 48 00 04": "07 04 08 46 40 e6 b7 bf c0 00 00"})  # -1.5


# A map with a wrong word order must not pass: each of these frames has counters that read differently then.
SWAPPED = [
    ("sdm630", SDM630),
    ("umg", UMG),
    ("em340", EM340),
    ("cvm-c11", CVM_C11),
    ("sunspec203", sunspec(203, 105, integers(203))),
    ("sunspec213", sunspec(213, 124, floats(213))),
    ("sunspec103", sunspec(103, 50, "0067 0032" + "0000" * 22 + "075b cd15 0001")),
    ("sunspec113", sunspec(113, 60, "0071 003c" + "0000" * 30 + "42c8 0000")),
    ("sunspec701", sunspec(701, 153, der())),
]


@pytest.mark.parametrize(("name", "frames"), SWAPPED, ids=[name for name, _ in SWAPPED])
def test_a_map_with_swapped_words_reads_something_else(
    name: str, frames: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = read(name, frames)
    path = next(path for path in FOLDER.glob("*.toml") if path.name != "measures.toml" and name in read_maps(path))
    text = path.read_text()
    if "low_word_first = true" in text:
        text = text.replace("low_word_first = true", "low_word_first = false")
    else:
        text = text.replace("function =", "low_word_first = true\nfunction =")
    (tmp_path / "swapped.toml").write_text(text)
    monkeypatch.setitem(MAPS, name, read_maps(tmp_path / "swapped.toml")[name])
    try:
        wrong = read(name, frames)
    except MeterError:
        return
    assert all(wrong[quantity] != counter for quantity, counter in right.items())
