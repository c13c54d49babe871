// kafkajs, Kafka's client in pure JavaScript, against a broker. It has gzip, and snappy by a plugin; it has neither static
// members nor cooperative rebalancing.
//
// usage: node client.js HOST:PORT                       every check, a line each
//        node client.js HOST:PORT write TOPIC CODEC     writes its input, a record a line
//        node client.js HOST:PORT read TOPIC COUNT      prints so many values of partition 0
'use strict'

const fs = require('fs')
const { isDeepStrictEqual, inspect } = require('util')
const {
  AssignerProtocol, CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, PartitionAssigners, Partitioners, logLevel,
} = require('kafkajs')

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')

const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }
const WAIT_MS = 60_000
const [broker, command, topicGiven, lastGiven] = process.argv.slice(2)
const run = `${Math.floor(Date.now() / 1000)}-${process.pid}`
const kafka = new Kafka({ brokers: [broker], clientId: 'node', logLevel: logLevel.NOTHING, requestTimeout: 25_000 })
let failures = 0

function check(what, expected, actual) {
  if (isDeepStrictEqual(expected, actual)) return console.log(`ok      ${what}`)
  failures++
  const text = value => inspect(value, { breakLength: Infinity }).slice(0, 300)
  console.log(`FAILED  ${what}\n        expected ${text(expected)}\n        not      ${text(actual)}`)
}

const numbered = (prefix, count) => [...Array(count).keys()].map(i => `${prefix}-${i}-${'x'.repeat(i % 97)}`)
const sorted = values => [...values].sort()

async function produce(topic, values, { codec = 'none', acks = -1, partitions = 1, idempotent = false } = {}) {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent })
  await producer.connect()
  try {
    const messages = values.map((value, i) => ({
      key: `key-${value}`, value, partition: i % partitions, headers: { number: String(i) },
    }))
    await producer.send({ topic, acks, compression: CODECS[codec], messages })
  } finally {
    await producer.disconnect()
  }
}

// A consumer in a group that knows what it has and has read.
async function join(groupId, topic, assigner) {
  const consumer = kafka.consumer({
    groupId, sessionTimeout: 6_000, heartbeatInterval: 300, maxWaitTimeInMs: 200, partitionAssigners: [assigner],
  })
  const member = { consumer, read: [], has: [] }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { member.has = payload.memberAssignment[topic] ?? [] })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message }) => {
      member.read.push({ key: String(message.key), value: String(message.value), offset: message.offset, headers: message.headers })
    },
  })
  return member
}

const leave = async member => { await member.consumer.stop(); await member.consumer.disconnect() }

async function until(what, holds) {
  const deadline = Date.now() + WAIT_MS
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`${what}: not in time`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

// Reads so many records of a topic, in a group that is used once: kafkajs has no other consumers.
async function consume(topic, count, groupId = `node-once-${run}-${Math.random()}`) {
  const member = await join(groupId, topic, PartitionAssigners.roundRobin)
  try {
    await until(`${count} records of ${topic}`, () => member.read.length >= count)
  } finally {
    await leave(member)
  }
  return member.read
}

// At once, since each consumer waits for its group.
async function codecs(admin) {
  await Promise.all(Object.keys(CODECS).map(async codec => {
    const topic = `node-${codec}-${run}`
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
    const sent = numbered(codec, 1000)
    await produce(topic, sent, { codec })
    const read = await consume(topic, 1000)
    check(`codec ${codec}`, sent, read.map(record => record.value))
    check(`codec ${codec}: keys, headers and offsets`, [`key-${sent[77]}`, '77', '77'],
      [read[77].key, String(read[77].headers.number), read[77].offset])
  }))
  await Promise.all([0, 1, -1].map(async acks => {
    const topic = `node-acks${acks}-${run}`
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
    const sent = numbered('acks', 200)
    await produce(topic, sent, { acks, idempotent: acks === -1 })
    check(`acks ${acks}`, sent, (await consume(topic, 200)).map(record => record.value))
  }))
}

async function groups(admin) {
  const topic = `node-group-${run}`
  const groupId = `node-${run}`
  await admin.createTopics({ topics: [{ topic, numPartitions: 4 }] })
  const ask = (prefix, count) => produce(topic, numbered(prefix, count), { partitions: 4 })
  const unique = (...members) => new Set(members.flatMap(member => member.read.map(record => record.value))).size
  await ask('first', 400)
  const first = await join(groupId, topic, PartitionAssigners.roundRobin)
  await until('the first member', () => first.read.length === 400)
  check('group: alone, it has all', [0, 1, 2, 3], sorted(first.has))
  const second = await join(groupId, topic, PartitionAssigners.roundRobin)
  await until('both members', () => first.has.length === 2 && second.has.length === 2)
  await ask('second', 400)
  await until('what both read', () => unique(first, second) === 800)
  check('group: both have read', true, second.read.length > 0 && first.read.length > 400)
  const described = (await admin.describeGroups([groupId])).groups[0]
  check('group: described', ['Stable', 'consumer', 'RoundRobinAssigner', 2],
    [described.state, described.protocolType, described.protocol, described.members.length])
  const assigned = described.members.flatMap(member => AssignerProtocol.MemberAssignment.decode(member.memberAssignment).assignment[topic])
  check('group: what its members have', [0, 1, 2, 3], sorted(assigned))
  await leave(second)
  await until('the first member again', () => first.has.length === 4)
  await ask('third', 100)
  await until('what the first one reads', () => unique(first, second) === 900)
  await leave(first)
  await ask('fourth', 100)
  const later = await consume(topic, 100, groupId)
  check('group: the next one goes on where they stopped', sorted(numbered('fourth', 100)), sorted(later.map(record => record.value)))
}

async function administration(admin) {
  const topic = `node-admin-${run}`
  const groupId = `node-admin-${run}`
  const wanted = { topics: [{ topic, numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '1234567' }] }] }
  check('create a topic', true, await admin.createTopics(wanted))
  check('create a topic that there is', false, await admin.createTopics(wanted))
  check('list topics', true, (await admin.listTopics()).includes(topic))
  const described = await admin.fetchTopicMetadata({ topics: [topic] })
  check('describe a topic', [0, 1], sorted(described.topics[0].partitions.map(partition => partition.partitionId)))
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
  const retention = async () => {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [resource] })
    return resources[0].configEntries.find(entry => entry.configName === 'retention.ms').configValue
  }
  check('describe configs', '1234567', await retention())
  await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '7654321' }] }] })
  check('alter configs', '7654321', await retention())
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  await produce(topic, numbered('record', 30), { partitions: 3 })
  const ends = await admin.fetchTopicOffsets(topic)
  check('end offsets', ['10', '10', '10'], ends.map(partition => partition.high))
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 1, offset: '4' }] })
  check('start offsets behind a deletion', ['0', '4', '0'],
    (await admin.fetchTopicOffsets(topic)).sort((a, b) => a.partition - b.partition).map(partition => partition.low))
  await admin.setOffsets({ groupId, topic, partitions: [{ partition: 1, offset: '6' }] })
  const offset = async partition => (await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions
    .find(one => one.partition === partition).offset
  check('set offsets', '6', await offset(1))
  await admin.resetOffsets({ groupId, topic, earliest: true })
  check('reset offsets', '-2', await offset(2))
  check('list groups', true, (await admin.listGroups()).groups.some(group => group.groupId === groupId))
  check('describe a group without members', 'Empty', (await admin.describeGroups([groupId])).groups[0].state)
  check('delete a group', [{ groupId, errorCode: 0 }], await admin.deleteGroups([groupId]))
  const gone = await admin.deleteGroups([groupId]).then(() => 'deleted', error => error.groups[0].error.type)
  check('delete a group that there is not', 'GROUP_ID_NOT_FOUND', gone)
  check('describe the cluster', 1, (await admin.describeCluster()).brokers.length)
  check('delete a topic', undefined, await admin.deleteTopics({ topics: [topic] }))
}

async function main() {
  if (command === 'write') {
    const lines = fs.readFileSync(0, 'utf8').split('\n').filter(line => line !== '')
    return produce(topicGiven, lines, { codec: lastGiven })
  }
  if (command === 'read') {
    const read = await consume(topicGiven, Number(lastGiven))
    return console.log(read.map(record => record.value).join('\n'))
  }
  const admin = kafka.admin()
  await admin.connect()
  await codecs(admin)
  await groups(admin)
  await administration(admin)
  await admin.disconnect()
}

main().catch(error => {
  failures++
  console.log(`FAILED  ${error.stack}`)
}).finally(() => process.exit(failures ? 1 : 0))
