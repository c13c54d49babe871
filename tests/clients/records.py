"""What the Python clients write and how they compare what they read."""

import random
import sys
import time

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
RUN = f"{int(time.time())}-{random.randrange(1 << 32)}"

# The largest batch that Kafka takes by default, less its header and the framing of a lone record.
BIG = 1_048_588 - 61 - 11

failures = 0


def varied(count):
    """Tuples of key, value, headers and milliseconds: null and empty among them, one millisecond apart."""
    source = random.Random(count)
    start = int(time.time() * 1000) - 60_000
    records = []
    for i in range(count):
        key = None if i % 3 == 0 else f"key-{i}".encode()
        if i % 11 == 5 and key is not None:  # aiokafka sends no record with neither
            value = None
        elif i % 5 == 0:
            value = source.randbytes(i * 7 % 2000)
        else:
            value = bytes([97 + i % 26]) * (i % 500)
        headers = [(f"header-{h % 2}", b"%d/%d" % (i, h)) for h in range(i % 4)]
        records.append((key, value, headers, start + i))
    return records


def check(what, expected, actual):
    """Prints one line; says where the first difference is."""
    global failures
    if expected == actual:
        print(f"ok      {what}", flush=True)
        return
    failures += 1
    print(f"FAILED  {what}", flush=True)
    if isinstance(expected, list) and isinstance(actual, list):
        print(f"        {len(expected)} expected, {len(actual)} read")
        for index, (a, b) in enumerate(zip(expected, actual)):
            if a != b:
                print(f"        at {index}: {str(a)[:300]}\n        not   {str(b)[:300]}")
                break
    else:
        print(f"        expected {str(expected)[:300]}\n        not      {str(actual)[:300]}")


def numbered(records, first=0):
    """The records as a consumer must see them, with their offsets."""
    return [(first + i, *record) for i, record in enumerate(records)]


def finish():
    if failures:
        print(f"{failures} failed")
    sys.exit(1 if failures else 0)
