"""Pictures drawn on the server: pure functions from frozen dataclasses to SVG, no JavaScript, no inline styles.

Each picture comes in two drawings of the same data, a narrow one for phones and a wide one for desks; the stylesheet
shows the one that fits. Colours come from classes, so light, dark and print follow the design tokens.
"""

from apps.web.pictures.bill import BillBar, BillPart, bill_bar
from apps.web.pictures.calendar import CalendarDay, CalendarMap, Tint, calendar_map, calendar_table
from apps.web.pictures.day import DayChart, LoadCurve, LocalDay, Series, day_chart, day_table, load_curve, load_table
from apps.web.pictures.flow import Flow, FlowDiagram, FlowNode, flow_diagram, flow_table
from apps.web.pictures.hues import Hue
from apps.web.pictures.lag import LagChart, lag_chart, lag_table
from apps.web.pictures.power import PowerStrip, power_strip, power_table

__all__ = [
    "BillBar",
    "BillPart",
    "CalendarDay",
    "CalendarMap",
    "DayChart",
    "Flow",
    "FlowDiagram",
    "FlowNode",
    "Hue",
    "LagChart",
    "LoadCurve",
    "LocalDay",
    "PowerStrip",
    "Series",
    "Tint",
    "bill_bar",
    "calendar_map",
    "calendar_table",
    "day_chart",
    "day_table",
    "flow_diagram",
    "flow_table",
    "lag_chart",
    "lag_table",
    "load_curve",
    "load_table",
    "power_strip",
    "power_table",
]
