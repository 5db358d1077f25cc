"""Entry point of web servers that speak ASGI."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "energymarket.settings.base")

application = get_asgi_application()
