"""Check topics and positions."""

from __future__ import annotations

from streamsched.admin import hanging, repair
from streamsched.installation.site import Installation
from streamsched.log.port import TopicMismatch


def differences(site: Installation) -> list[str]:
    """Return every difference of topics and positions from what they must be."""
    found = list(site.log.check_topics(site.topics.specs()))
    if found:
        return found
    try:
        site.discover().check_sizes()
    except TopicMismatch as error:
        return [str(error)]
    found += [f"{each}: a scheduler ends it, or: streamsched topics repair" for each in hanging.find(site)]
    if found:
        return found  # positions behind an open transaction cannot be read
    for group, places in repair.lost(site).items():
        found += [
            f"group {group} has no valid position for {place.topic}-{place.partition}: the next owner "
            "replaces a missing one; for an invalid one: streamsched topics repair"
            for place in places
        ]
    return found


def unreplicated(site: Installation) -> list[str]:
    """Return warnings of topics with a single copy although there are several brokers."""
    brokers = site.log.brokers()
    return [
        f"warning: topic {spec.name} has a replication factor of 1, and there are {brokers} brokers: "
        "the loss of one stops it; see kafka-reassign-partitions"
        for spec in site.topics.specs()
        if brokers > 1 and site.log.replication(spec.name) == 1
    ]
