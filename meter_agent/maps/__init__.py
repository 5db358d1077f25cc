"""Register maps, one file for each family of meters; more can be given in a folder of their own.

    [[maps]]
    name = "sdm630"
    description = "Eastron SDM630"
    function = 4                      # 3: holding registers, 4: input registers
    most_registers = 80               # how many one request may read
    blocks = [[0x48, 4]]              # [address, count]: what one request reads together
    low_word_first = false            # of numbers that are longer than a register
    probe = { address = 0, type = "float32", low = 50, high = 500 }   # a voltage, to recognise the meter by

    [maps.quantities]                 # as seen from the meter: export leaves the plant or the house
    import = { address = 0x48, type = "float32", scale = 3 }          # shows kWh, so 10^3 Wh

A quantity may have `scale_address` (a register with SunSpec's scale factor), `factor` (a whole number; -1 where the
register counts downwards), `modulus` (where it starts again, if not at the end of its form), `not_implemented` (numbers
that mean "none") and `measure`. A SunSpec map has `models` in place of blocks and stands for one map each, named after
them; its addresses are counted from the register that holds the model's id.
"""

from collections.abc import Mapping
from pathlib import Path

from meter_agent.registers import LARGEST_SCALE, Field, Measure, MeterMap, Probe, Quantity, WordType
from meter_agent.tables import ConfigError, Table, flag, integer, read_toml, text

FOLDER = Path(__file__).parent
LARGEST_FRAME = 125
NO_MODELS: tuple[int, ...] = ()
NO_BLOCKS: tuple[range, ...] = ()
VISIBILITIES = ("visible", "disabled")

address = integer(0, 0xFFFF)


def word_type(value: object) -> WordType:
    if value not in list(WordType):
        raise ValueError(f"must be one of {', '.join(WordType)}")
    return WordType(str(value))


def visibility(value: object) -> str:
    if value not in VISIBILITIES:
        raise ValueError(f"must be one of {', '.join(VISIBILITIES)}")
    return str(value)


def numbers(value: object) -> frozenset[int]:
    if not isinstance(value, list):
        raise ValueError("must be a list of numbers")
    return frozenset(integer(0, (1 << 64) - 1)(each) for each in value)


def factor(value: object) -> int:
    if value == 0:
        raise ValueError("must not be 0")
    return integer(-1_000_000, 1_000_000)(value)


def models(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list of SunSpec models")
    return tuple(address(each) for each in value)


def blocks(largest: int, value: object) -> tuple[range, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list of [address, count]")
    found = []
    for each in value:
        if not isinstance(each, list) or len(each) != 2:
            raise ValueError("must be a list of [address, count]")
        start, count = address(each[0]), integer(1, largest)(each[1])
        found.append(range(start, start + count))
    return tuple(found)


def read_measures(path: Path) -> dict[Quantity, Measure]:
    """Raises `ConfigError`."""
    table = read_toml(path)
    measures = {quantity: _measure(table.table(quantity)) for quantity in Quantity}
    table.finish()
    return measures


def read_maps(path: Path) -> dict[str, MeterMap]:
    """The maps of a file by their names. Raises `ConfigError`."""
    table = read_toml(path)
    maps = [each for part in table.tables("maps") for each in _maps(part)]
    table.finish()
    return _by_name(maps)


def read_folder(folder: Path) -> dict[str, MeterMap]:
    """All maps of a folder. Raises `ConfigError`."""
    files = sorted(path for path in folder.glob("*.toml") if path.name != MEASURES_FILE)
    if not files:
        raise ConfigError(f"{folder} holds no register maps")
    return _by_name([each for path in files for each in read_maps(path).values()])


def _by_name(maps: list[MeterMap]) -> dict[str, MeterMap]:
    named = {each.name: each for each in maps}
    for each in maps:
        if named[each.name] is not each:
            raise ConfigError(f"maps: {each.name} is given twice")
    return named


def _measure(table: Table) -> Measure:
    measure = Measure(
        name=table.take("name", text),
        description=table.take("description", text),
        unity=table.take("unity", text),
        pos=table.take("pos", integer(1, 1000)),
        visibility=table.take("visibility", visibility),
    )
    table.finish()
    return measure


def _maps(table: Table) -> list[MeterMap]:
    name = table.take("name", text)
    description = table.take("description", text)
    function = table.take("function", integer(3, 4))
    largest = table.take("most_registers", integer(1, LARGEST_FRAME), LARGEST_FRAME)
    low_word_first = table.take("low_word_first", flag, False)
    found_models = table.take("models", models, NO_MODELS)
    found_blocks = table.take("blocks", lambda value: blocks(largest, value), NO_BLOCKS)
    probe = _probe(table.table("probe"), low_word_first) if "probe" in table else None
    fields, measures = _quantities(table.table("quantities"), low_word_first)
    table.finish()
    if bool(found_models) == bool(found_blocks):
        raise ConfigError(f"{table.key('blocks')}: either they or models must be given")
    if found_models:
        return [
            _checked(MeterMap(f"{name}{model}", description, function, fields, measures, model=model), table, largest)
            for model in found_models
        ]
    return [
        _checked(MeterMap(name, description, function, fields, measures, found_blocks, probe=probe), table, largest)
    ]


def _checked(meter_map: MeterMap, table: Table, largest: int) -> MeterMap:
    """Every register that is needed must come with exactly one request."""
    if meter_map.model is not None and meter_map.frames(meter_map.fields)[0].stop > largest:
        raise ConfigError(f"{table.key('most_registers')}: the model's counters do not fit into one request")
    for quantity, field in meter_map.fields.items():
        for span in field.spans:
            homes = [block for block in meter_map.blocks if span.start in block and span[-1] in block]
            if meter_map.model is None and len(homes) != 1:
                raise ConfigError(
                    f"{table.key('blocks')}: {len(homes)} of them hold the registers of {quantity}, not one"
                )
    return meter_map


def _quantities(table: Table, low_word_first: bool) -> tuple[dict[Quantity, Field], Mapping[Quantity, Measure]]:
    fields: dict[Quantity, Field] = {}
    measures: dict[Quantity, Measure] = {}
    for quantity in Quantity:
        if quantity not in table:
            continue
        part = table.table(quantity)
        measures[quantity] = _measure(part.table("measure")) if "measure" in part else MEASURES[quantity]
        fields[quantity] = _field(part, low_word_first)
    table.finish()
    if not fields:
        raise ConfigError(f"{table.name}: must name one quantity at least")
    return fields, measures


def _field(table: Table, low_word_first: bool) -> Field:
    form = table.take("type", word_type)
    field = Field(
        address=table.take("address", address),
        type=form,
        low_word_first=low_word_first,
        scale=table.take("scale", integer(-LARGEST_SCALE, LARGEST_SCALE), 0),
        scale_address=table.take("scale_address", address) if "scale_address" in table else None,
        factor=table.take("factor", factor, 1),
        modulus=table.take("modulus", integer(1, 1 << 63)) if "modulus" in table else form.modulus,
        not_implemented=table.take("not_implemented", numbers, frozenset()),
    )
    table.finish()
    return field


def _probe(table: Table, low_word_first: bool) -> Probe:
    probe = Probe(
        address=table.take("address", address),
        type=table.take("type", word_type),
        low_word_first=low_word_first,
        low=table.take("low", integer(0, 1 << 62)),
        high=table.take("high", integer(0, 1 << 62)),
    )
    table.finish()
    return probe


MEASURES_FILE = "measures.toml"
MEASURES = read_measures(FOLDER / MEASURES_FILE)
MAPS = read_folder(FOLDER)
