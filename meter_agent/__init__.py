"""The box beside the meter: reads energy counters over Modbus, signs what they counted and hands it to the head-end."""

VERSION = "0.1.0"
