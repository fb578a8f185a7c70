"""Messages over HTTP: as JSON for programs, and as Slack's incoming webhooks take them."""

import httpx

from shared.notifying.messages import Message, Undelivered

TIMEOUT_S = 5.0


class Webhook:
    """Posts documents. An address may hold a secret, so it is never told."""

    def __init__(self, url: str) -> None:
        self._url, self._http = url, httpx.Client(timeout=TIMEOUT_S)

    def send(self, message: Message) -> None:
        """Post it. Raises Undelivered."""
        try:
            self._http.post(self._url, json=self.body(message)).raise_for_status()
        except httpx.HTTPStatusError as error:
            raise Undelivered(f"the webhook answered {error.response.status_code}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Undelivered(f"the webhook cannot be reached: {type(error).__name__}") from error

    def close(self) -> None:
        """Let connections go."""
        self._http.close()

    def body(self, message: Message) -> object:
        """What is posted."""
        return message.document


class SlackWebhook(Webhook):
    """Posts texts."""

    def body(self, message: Message) -> object:
        """The text alone."""
        return {"text": message.text}
