from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from apps.web import health


class WebConfig(AppConfig):
    name = "apps.web"
    label = "web"
    verbose_name = _("Pages")

    def ready(self) -> None:
        health.register("database", health.check_database)
        health.register("broker", health.check_broker)
