#!/usr/bin/env python3
"""Writes lines into a topic, or prints those of one, with one of the Python clients.

usage: exchange.py confluent|aiokafka HOST:PORT write TOPIC CODEC
       exchange.py confluent|aiokafka HOST:PORT read TOPIC COUNT
"""

import asyncio
import sys

WAIT = 60
client, broker, command, topic, last = sys.argv[1:]


def write_with_confluent(lines):
    import confluent_kafka

    producer = confluent_kafka.Producer({"bootstrap.servers": broker, "compression.type": last, "linger.ms": 50})
    for line in lines:
        producer.produce(topic, line, partition=0)
    if producer.flush(WAIT):
        raise TimeoutError("not all delivered")


def read_with_confluent(count):
    import confluent_kafka

    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker, "group.id": "not-a-group", "check.crcs": True})
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    read = consumer.consume(count, WAIT)
    consumer.close()
    return [message.value() for message in read]


async def write_with_aiokafka(lines):
    from aiokafka import AIOKafkaProducer

    codec = None if last == "none" else last
    async with AIOKafkaProducer(bootstrap_servers=broker, compression_type=codec, linger_ms=50) as producer:
        await asyncio.gather(*[await producer.send(topic, line, partition=0) for line in lines])


async def read_with_aiokafka(count):
    from aiokafka import AIOKafkaConsumer, TopicPartition

    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    read = []
    while len(read) < count:
        read.append((await asyncio.wait_for(consumer.getone(), WAIT)).value)
    await consumer.stop()
    return read


if command == "write":
    lines = sys.stdin.buffer.read().splitlines()
    if client == "confluent":
        write_with_confluent(lines)
    else:
        asyncio.run(write_with_aiokafka(lines))
else:
    count = int(last)
    read = read_with_confluent(count) if client == "confluent" else asyncio.run(read_with_aiokafka(count))
    sys.stdout.buffer.write(b"".join(line + b"\n" for line in read))
