"""What staff are told about boxes."""

from django.utils.translation import gettext_lazy as _

from apps.metering.choices import AlarmKind
from apps.notifications.choices import Audience, Severity
from apps.notifications.kinds import NoticeKind, register_kind

_WORDS = {
    AlarmKind.SILENCE: (
        _("No readings from %(device)s"),
        _("%(device)s in %(area)s has sent no readings for more than %(minutes)s minutes."),
        _("%(device)s in %(area)s sends readings again."),
    ),
    AlarmKind.CLOCK: (
        _("The clock of %(device)s is off"),
        _("The clock of %(device)s in %(area)s is off by %(seconds)s seconds."),
        _("The clock of %(device)s in %(area)s is right again."),
    ),
    AlarmKind.NO_GENERATION: (
        _("No generation at %(device)s"),
        _("%(plant)s at %(device)s in %(area)s has made nothing in the middle of the day for %(days)s days."),
        _("The plant at %(device)s in %(area)s makes energy again."),
    ),
    AlarmKind.CONSUMPTION: (
        _("Unusual consumption at %(device)s"),
        _("%(device)s in %(area)s read %(wh)s Wh on %(day)s, where the same weekday had %(usual)s Wh."),
        _("Consumption at %(device)s in %(area)s is as usual again."),
    ),
    AlarmKind.BACKLOG: (
        _("Readings pile up in %(device)s"),
        _("%(readings)s readings wait in %(device)s in %(area)s, and they become more."),
        _("The backlog of %(device)s in %(area)s no longer grows."),
    ),
    AlarmKind.REFUSED: (
        _("A batch of %(device)s was refused"),
        _("A batch that %(device)s in %(area)s sent was refused (%(rule)s). The box has put it aside."),
        _("No batch of %(device)s in %(area)s was refused lately."),
    ),
    AlarmKind.REVOKED_KEY: (
        _("A revoked key of %(device)s is in use"),
        _("Something came that was signed with a revoked key of %(device)s in %(area)s. It was refused."),
        _("The revoked key of %(device)s in %(area)s was not seen lately."),
    ),
}
_GRAVE = (AlarmKind.SILENCE, AlarmKind.REFUSED, AlarmKind.REVOKED_KEY)

NOTICES = {
    kind: NoticeKind(
        key=f"metering.{kind.value}",
        title=kind.label,
        subject=subject,
        text=text,
        over=over,
        severity=Severity.ALARM if kind in _GRAVE else Severity.WARNING,
        audience=Audience.STAFF,
    )
    for kind, (subject, text, over) in _WORDS.items()
}


def register_notices() -> None:
    for kind in NOTICES.values():
        register_kind(kind)
