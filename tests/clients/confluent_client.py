#!/usr/bin/env python3
"""confluent-kafka, the newest librdkafka from Python, against a broker. usage: confluent_client.py HOST:PORT"""

import sys

import confluent_kafka as kafka
from confluent_kafka.admin import AdminClient

from records import BIG, CODECS, RUN, check, finish, numbered, varied

BROKER = sys.argv[1]
WAIT = 30


def produce(topic, records, **config):
    offsets = []
    producer = kafka.Producer(
        {"bootstrap.servers": BROKER, "message.timeout.ms": 25000}
        | {name.replace("_", "."): value for name, value in config.items()}
    )

    def delivered(error, message):
        offsets.append(error.name() if error else message.offset())

    for key, value, headers, timestamp in records:
        producer.produce(
            topic, value, key, partition=0, on_delivery=delivered, timestamp=timestamp, headers=headers
        )
    if producer.flush(WAIT):
        raise TimeoutError(f"{topic}: not all delivered")
    return offsets


def assigned(topic, offset):
    # librdkafka wants a group id for its assign call; no group is joined.
    consumer = kafka.Consumer(
        {
            "bootstrap.servers": BROKER,
            "group.id": "not-a-group",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "check.crcs": True,
        }
    )
    consumer.assign([kafka.TopicPartition(topic, 0, offset)])
    return consumer


def consume(topic, offset=kafka.OFFSET_BEGINNING):
    consumer = assigned(topic, offset)
    records = []
    while True:
        message = consumer.poll(WAIT)
        if message is None:
            raise TimeoutError(f"{topic}: no end after {len(records)} records")
        if message.error():
            consumer.close()
            if message.error().code() == kafka.KafkaError._PARTITION_EOF:
                return records
            raise kafka.KafkaException(message.error())
        kind, timestamp = message.timestamp()
        assert kind == kafka.TIMESTAMP_CREATE_TIME
        records.append((message.offset(), message.key(), message.value(), message.headers() or [], timestamp))


print(f"confluent-kafka {kafka.version()}, librdkafka {kafka.libversion()[0]}")
records = varied(1000)
for codec in CODECS:
    topic = f"confluent-{codec}-{RUN}"
    check(f"codec {codec}, written", list(range(1000)), produce(topic, records, compression_type=codec, linger_ms=20))
    check(f"codec {codec}, read", numbered(records), consume(topic))

admin = AdminClient({"bootstrap.servers": BROKER})
for acks in ["0", "1", "all"]:
    topic = f"confluent-acks-{acks}-{RUN}"
    admin.create_topics([kafka.admin.NewTopic(topic, 1, 1)])[topic].result(WAIT)
    produce(topic, records, acks=acks)
    read = consume(topic)
    while acks == "0" and len(read) < len(records):  # acks=0 does not wait for the write
        read = consume(topic)
    check(f"acks {acks}", numbered(records), read)

topic = f"confluent-idempotent-{RUN}"
produce(topic, records, enable_idempotence=True, batch_num_messages=20)
check("idempotence", numbered(records), consume(topic))
for offset in [0, 1, 19, 20, 555, 999]:
    check(f"from offset {offset}", numbered(records)[offset:], consume(topic, offset))
check("from the end", [], consume(topic, kafka.OFFSET_END))
consumer = assigned(topic, 0)
check("watermarks", (0, 1000), consumer.get_watermark_offsets(kafka.TopicPartition(topic, 0), WAIT))
for what, timestamp, offset in [
    ("before all", records[0][3] - 1, 0),
    ("in the middle", records[321][3], 321),
    ("after all", records[999][3] + 1, kafka.OFFSET_END),
]:
    found = consumer.offsets_for_times([kafka.TopicPartition(topic, 0, timestamp)], WAIT)[0]
    check(f"offset for a time {what}", offset, found.offset)
consumer.close()

topic = f"confluent-big-{RUN}"
big = [(b"", bytes(i % 251 for i in range(BIG)), [], records[0][3])]
check("big record, written", [0], produce(topic, big, message_max_bytes=2_000_000))
check("big record, read", numbered(big), consume(topic))
too_big = [(None, bytes(BIG + 1), [], records[0][3])]
check("too big a record", ["MSG_SIZE_TOO_LARGE"], produce(topic, too_big, message_max_bytes=2_000_000))
finish()
