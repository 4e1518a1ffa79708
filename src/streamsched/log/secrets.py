"""Secret settings of Kafka's client: which they are, and how they are hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_WORDS: Final = frozenset({"password", "passphrase", "secret"})
_NAMES: Final = ("key.pem", "sasl.oauthbearer.config", "sasl.jaas.config")
HIDDEN: Final = "***"


def is_secret(name: str) -> bool:
    """Return whether a setting of this name of librdkafka is a secret: a password, a private key, a token's source."""
    return not _WORDS.isdisjoint(name.split(".")) or name.endswith(_NAMES)


def hide(text: object, settings: Mapping[str, object]) -> str:
    """Return the text with each secret value of these settings replaced by ``***``."""
    shown = str(text)
    for name, value in settings.items():
        if is_secret(name) and str(value):
            shown = shown.replace(str(value), HIDDEN)
    return shown


class KafkaSettings(dict[str, str]):
    """Settings of Kafka's client by their names; written out it hides the secrets."""

    def __repr__(self) -> str:
        return repr({name: HIDDEN if is_secret(name) else value for name, value in self.items()})
