"""Settings of services that tell people what happened, and the channels that they amount to."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from shared.applications.durations import Duration
from shared.http.settings import ServiceSettings
from shared.notifying.mail import Encryption, Mail, Server
from shared.notifying.messages import Channel
from shared.notifying.webhooks import SlackWebhook, Webhook


class NotifyingSettings(ServiceSettings):
    """From STREAMWHEEL_… environment variables; secrets are shown to nobody."""

    webhook: SecretStr | None = Field(None, description="address that news are posted to, as JSON")
    slack_webhook: SecretStr | None = Field(
        None, description="address that news are posted to, as Slack has it"
    )
    smtp_host: str = Field("", description="mail server; empty: no mail is sent")
    smtp_port: int = Field(587, gt=0, le=65535)
    smtp_encryption: Encryption = Field("starttls", description="starttls, tls or none")
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_ca_file: Path | None = Field(None, description="certificates to trust instead of the system's")
    mail_from: str = ""
    mail_to: Annotated[tuple[str, ...], NoDecode] = Field((), description="addresses, separated by commas")
    notify_attempts: int = Field(4, ge=1, description="how often a notification is tried")
    notify_backoff: Duration = Field(
        timedelta(seconds=1), description="wait after the first failure; doubles each time"
    )

    @field_validator("mail_to", mode="before")
    @classmethod
    def _split_addresses(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(address for part in value.split(",") if (address := part.strip()))
        return value

    @model_validator(mode="after")
    def _check_mail(self) -> Self:
        if self.smtp_host and not (self.mail_from and self.mail_to):
            raise ValueError("smtp_host is set: mail_from and mail_to are needed as well")
        if self.smtp_username and self.smtp_encryption == "none":
            raise ValueError("smtp_encryption is none: a password is not sent in the clear")
        return self

    def channels(self) -> list[Channel]:
        """Where news go; none where nothing is set."""
        found: list[Channel] = []
        if self.webhook:
            found.append(Webhook(self.webhook.get_secret_value()))
        if self.slack_webhook:
            found.append(SlackWebhook(self.slack_webhook.get_secret_value()))
        if self.smtp_host:
            password = self.smtp_password.get_secret_value()
            where = (self.smtp_host, self.smtp_port, self.smtp_encryption)
            server = Server(*where, self.smtp_username, password, self.smtp_ca_file)
            found.append(Mail(server, self.mail_from, self.mail_to))
        return found
