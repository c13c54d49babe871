#!/usr/bin/env python3
"""aiokafka, Python without librdkafka, against a broker. usage: aiokafka_client.py HOST:PORT"""

import asyncio
import importlib.metadata
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from records import BIG, CODECS, RUN, check, finish, numbered, varied

BROKER = sys.argv[1]
WAIT_MS = 30_000


async def produce(topic, records, **config):
    async with AIOKafkaProducer(bootstrap_servers=BROKER, linger_ms=20, request_timeout_ms=WAIT_MS, **config) as producer:
        sent = [
            await producer.send(topic, value, key, 0, timestamp, headers) for key, value, headers, timestamp in records
        ]
        await producer.flush()
        answers = [await one for one in sent]
    return [answer.offset if answer else None for answer in answers]


async def assigned(topic):
    consumer = AIOKafkaConsumer(bootstrap_servers=BROKER, enable_auto_commit=False, auto_offset_reset="none")
    await consumer.start()
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    return consumer, partition


async def consume(topic, offset=None):
    """From `offset`, or from the beginning, to what the broker says is the end."""
    consumer, partition = await assigned(topic)
    try:
        end = (await consumer.end_offsets([partition]))[partition]
        if offset is None:
            await consumer.seek_to_beginning(partition)
        else:
            consumer.seek(partition, offset)
        records = []
        while await consumer.position(partition) < end:
            fetched = await consumer.getmany(partition, timeout_ms=WAIT_MS)
            if not fetched:
                raise TimeoutError(f"{topic}: no end after {len(records)} records")
            records += [(r.offset, r.key, r.value, list(r.headers), r.timestamp) for r in fetched[partition]]
        return records
    finally:
        await consumer.stop()


async def main():
    print(f"aiokafka {importlib.metadata.version('aiokafka')}")
    records = varied(1000)
    for codec in CODECS:
        topic = f"aiokafka-{codec}-{RUN}"
        compression = None if codec == "none" else codec
        offsets = await produce(topic, records, compression_type=compression)
        check(f"codec {codec}, written", list(range(1000)), offsets)
        check(f"codec {codec}, read", numbered(records), await consume(topic))

    for acks in [0, 1, "all"]:
        topic = f"aiokafka-acks-{acks}-{RUN}"
        await produce(topic, records, acks=acks)
        read = await consume(topic)
        while acks == 0 and len(read) < len(records):  # acks=0 does not wait for the write
            read = await consume(topic)
        check(f"acks {acks}", numbered(records), read)

    topic = f"aiokafka-idempotent-{RUN}"
    await produce(topic, records, enable_idempotence=True, max_batch_size=2000)
    check("idempotence", numbered(records), await consume(topic))
    for offset in [0, 1, 19, 20, 555, 999, 1000]:
        check(f"from offset {offset}", numbered(records)[offset:], await consume(topic, offset))

    consumer, partition = await assigned(topic)
    check("start", {partition: 0}, await consumer.beginning_offsets([partition]))
    for what, timestamp, offset in [
        ("before all", records[0][3] - 1, 0),
        ("in the middle", records[321][3], 321),
        ("after all", records[999][3] + 1, None),
    ]:
        found = (await consumer.offsets_for_times({partition: timestamp}))[partition]
        check(f"offset for a time {what}", offset, found.offset if found else None)
    await consumer.seek_to_end(partition)
    check("from the end", 1000, await consumer.position(partition))
    await produce(topic, records[:3])
    seen = [(await asyncio.wait_for(consumer.getone(), WAIT_MS / 1000)).offset for _ in range(3)]
    check("what comes after the end", [1000, 1001, 1002], seen)
    await consumer.stop()

    topic = f"aiokafka-big-{RUN}"
    big = [(None, bytes(i % 251 for i in range(BIG)), [], records[0][3])]
    check("big record, written", [0], await produce(topic, big, max_request_size=2_000_000))
    check("big record, read", numbered(big), await consume(topic))
    try:
        answer = await produce(topic, [(None, bytes(BIG + 1), [], records[0][3])], max_request_size=2_000_000)
    except MessageSizeTooLargeError:
        answer = "refused"
    check("too big a record", "refused", answer)


asyncio.run(asyncio.wait_for(main(), 300))
finish()
