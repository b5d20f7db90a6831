"""Bags: what travelled, on disk. MCAP files that any MCAP viewer lists, written so that a crash loses half a second.

Messages are msgpack with a jsonschema schema; one channel per (topic, publisher) with QoS, type, hash and definition in
its metadata; `log_time` is when the recorder received a message, `publish_time` when it was published; `sequence` the
low 32 bits of its sequence number. Losses lie at their place as messages on /bag/lost.

    for message in read("run.mcap"):
        message.topic, message.publisher, message.seq, message.log_ns, message.payload
"""

from bus.bag.contents import Attachment, BagMessage, Channel, Info
from bus.bag.parts import AnyBag, Bags, Parts, open_bags, opened
from bus.bag.reader import BagReader, read
from bus.bag.records import BadBag
from bus.bag.writer import BagFull, BagWriter, Discarded

__all__ = [
    "AnyBag",
    "Attachment",
    "BadBag",
    "BagFull",
    "BagMessage",
    "BagReader",
    "BagWriter",
    "Bags",
    "Channel",
    "Discarded",
    "Info",
    "Parts",
    "open_bags",
    "opened",
    "read",
]
