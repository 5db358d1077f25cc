from celery import shared_task

from apps.notifications.services.letters import send_due


@shared_task(name="notifications.send")
def send() -> None:
    send_due()
