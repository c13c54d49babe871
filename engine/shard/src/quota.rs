//! Client quotas (KIP-13, KIP-124, KIP-599): what clients use, and how long those who use more are held back.
//!
//! Every shard measures what the connections of its own do. So that a limit is the node's and not the shard's, shards tell
//! each other about every [`EXCHANGE_US`] what was used since, one message each way while there is something to tell, and
//! count what they are told as if it had been used here. A limit can so be exceeded by what the other shards' connections
//! do within that time and one hop; since it is counted then, the excess is made good, and the rate over the windows holds.
//!
//! Invariants: nothing is looked up or measured while nobody has a limit; clients that are remembered are bounded, those
//! idle for [`IDLE_MS`] are forgotten, and beyond the bound the one idle for longest is; a change of a limit acts at once.

mod rate;
mod rules;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_replication::metadata::{MetadataImage, QuotaEntity, QuotaLimit};

use crate::config::BrokerConfig;
use crate::limits;
use rate::{Rate, TokenBucket, Windows};
pub(crate) use rules::Kind;
use rules::{Level, Rules};

/// How long usage is kept until other shards are told, in microseconds.
pub(crate) const EXCHANGE_US: u64 = 100_000;

/// How long a client is remembered that does nothing, in milliseconds. Kafka's value.
const IDLE_MS: u64 = 3_600_000;

/// How exactly it is known when a client last did something, in milliseconds.
const LAST_USED_MS: u64 = 1_000;

/// The kinds that are rates.
const RATES: usize = 3;

/// A client that is remembered. It stays valid until the client is forgotten, and is nobody then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    place: u32,
    turn: u32,
}

impl Client {
    /// Nobody, who has no limits.
    pub(crate) const NOBODY: Self = Self { place: u32::MAX, turn: 0 };
}

/// What a client has used since other shards were told; by kind.
pub(crate) type Usage = [f64; RATES];

/// What was used on a shard: by clients towards limits of their own, and together towards the user's.
#[derive(Debug, Default)]
pub(crate) struct Used {
    clients: Vec<(String, Usage)>,
    user: Usage,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Quotas {
    rules: Rules,
    /// Grows with every change of the rules.
    version: u64,
    windows: Windows,
    mutation_windows: Windows,
    clients: Vec<Slot>,
    free: Vec<u32>,
    names: BTreeMap<String, u32>,
    by_last_used: BTreeSet<(u64, u32)>,
    user: Meters,
    is_alone: bool,
    /// When other shards are to be told; none while there is nothing to tell.
    exchange_at_us: Option<u64>,
    untold_user: Usage,
    untold: BTreeSet<u32>,
    /// Whose requests were taken up since time was last charged.
    taken_up: Vec<Client>,
}

#[derive(Debug)]
struct Slot {
    turn: u32,
    name: String,
    last_used_ms: u64,
    /// The rules' version by which `limits` were found.
    version: u64,
    limits: [Option<(Level, f64)>; 4],
    meters: Meters,
    untold: Usage,
}

#[derive(Debug, Default)]
struct Meters {
    rates: [Rate; RATES],
    mutations: TokenBucket,
}

impl Quotas {
    /// With the limits of the metadata.
    pub(crate) fn new(image: &MetadataImage, config: &BrokerConfig, shards: u32) -> Self {
        let mut quotas = Self {
            rules: Rules::default(),
            version: 1,
            windows: windows(config.quota_windows),
            mutation_windows: windows(config.mutation_quota_windows),
            clients: Vec::new(),
            free: Vec::new(),
            names: BTreeMap::new(),
            by_last_used: BTreeSet::new(),
            user: Meters::default(),
            is_alone: shards == 1,
            exchange_at_us: None,
            untold_user: [0.0; RATES],
            untold: BTreeSet::new(),
            taken_up: Vec::new(),
        };
        image.quotas().iter().for_each(|(entity, limits)| quotas.rules.set(entity, limits));
        quotas
    }

    /// An entity has these limits from now on.
    pub(crate) fn set(&mut self, entity: &QuotaEntity, limits: &BTreeMap<String, QuotaLimit>) {
        self.rules.set(entity, limits);
        self.version += 1;
    }

    /// The client of this name; nobody while nobody has a limit.
    pub(crate) fn client(&mut self, name: Option<&str>, now_ms: u64) -> Client {
        if !self.rules.are_any() {
            return Client::NOBODY;
        }
        let name = name.unwrap_or_default();
        let place = match self.names.get(name) {
            Some(place) => *place,
            None => self.remember(name, now_ms),
        };
        let slot = &mut self.clients[place as usize];
        if now_ms.saturating_sub(slot.last_used_ms) >= LAST_USED_MS {
            self.by_last_used.remove(&(slot.last_used_ms, place));
            slot.last_used_ms = now_ms;
            self.by_last_used.insert((now_ms, place));
        }
        if slot.version != self.version {
            slot.version = self.version;
            slot.limits = Kind::ALL.map(|kind| self.rules.of_client(kind, &slot.name));
        }
        Client { place, turn: slot.turn }
    }

    fn remember(&mut self, name: &str, now_ms: u64) -> u32 {
        let oldest = self.by_last_used.first().copied();
        let is_full = self.names.len() >= limits::QUOTA_CLIENTS_MAX;
        if let Some((last_ms, oldest)) = oldest
            && (is_full || now_ms.saturating_sub(last_ms) >= IDLE_MS)
        {
            self.forget(oldest);
        }
        let slot = Slot {
            turn: 0,
            name: name.to_string(),
            last_used_ms: now_ms,
            version: 0,
            limits: [None; 4],
            meters: Meters::default(),
            untold: [0.0; RATES],
        };
        let place = match self.free.pop() {
            Some(place) => {
                let turn = self.clients[place as usize].turn;
                self.clients[place as usize] = Slot { turn, ..slot };
                place
            }
            None => {
                self.clients.push(slot);
                u32::try_from(self.clients.len() - 1).expect("the bound is far below 2^32")
            }
        };
        self.names.insert(name.to_string(), place);
        self.by_last_used.insert((now_ms, place));
        place
    }

    fn forget(&mut self, place: u32) {
        let slot = &mut self.clients[place as usize];
        self.by_last_used.remove(&(slot.last_used_ms, place));
        self.names.remove(&slot.name);
        self.untold.remove(&place);
        // Who still has it is nobody from now on.
        slot.turn = slot.turn.wrapping_add(1);
        slot.meters = Meters::default();
        self.free.push(place);
    }

    fn slot(&mut self, client: Client) -> Option<&mut Slot> {
        self.clients.get_mut(client.place as usize).filter(|slot| slot.turn == client.turn)
    }

    fn limit(&mut self, client: Client, kind: Kind) -> Option<(Level, f64)> {
        self.slot(client)?.limits[kind as usize]
    }

    /// A client has used so much; less than nothing where something is taken back.
    pub(crate) fn record(&mut self, client: Client, kind: Kind, amount: f64, now_us: u64) {
        let Some((level, _)) = self.limit(client, kind) else { return };
        let (windows, is_alone) = (self.windows, self.is_alone);
        let now_ms = now_us / 1_000;
        match level {
            Level::User => {
                self.user.rates[kind as usize].record(windows, amount, now_ms);
                self.untold_user[kind as usize] += amount;
            }
            Level::Client => {
                let slot = self.slot(client).expect("it has a limit");
                slot.meters.rates[kind as usize].record(windows, amount, now_ms);
                slot.untold[kind as usize] += amount;
                if !is_alone {
                    self.untold.insert(client.place);
                }
            }
        }
        if !is_alone {
            self.exchange_at_us.get_or_insert(now_us + EXCHANGE_US);
        }
    }

    /// How long a client has to be held back now for what it has used, in milliseconds; 0 if it does not.
    pub(crate) fn throttle_ms(&mut self, client: Client, kind: Kind, now_us: u64) -> u32 {
        let Some((level, limit)) = self.limit(client, kind) else { return 0 };
        let windows = self.windows;
        let rate = match level {
            Level::User => &mut self.user.rates[kind as usize],
            Level::Client => {
                let slot = self.clients.get_mut(client.place as usize).expect("it has a limit");
                &mut slot.meters.rates[kind as usize]
            }
        };
        let excess_ms = rate.excess_ms(windows, limit, now_us / 1_000);
        let most_ms = if kind == Kind::Request { windows.length_ms } else { i32::MAX as u64 };
        u32::try_from(excess_ms.min(most_ms)).unwrap_or(i32::MAX as u32)
    }

    /// A client fetches so many bytes. Returns how long it is held back instead, in milliseconds; then they do not count, and
    /// are not to be sent.
    pub(crate) fn take_fetch(&mut self, client: Client, bytes: usize, now_us: u64) -> u32 {
        self.record(client, Kind::Fetch, bytes as f64, now_us);
        let fetch_ms = self.throttle_ms(client, Kind::Fetch, now_us);
        let throttle_ms = fetch_ms.max(self.throttle_ms(client, Kind::Request, now_us));
        if throttle_ms > 0 {
            self.record(client, Kind::Fetch, -(bytes as f64), now_us);
        }
        throttle_ms
    }

    /// What a client may be sent at once: more could never leave.
    pub(crate) fn fetch_bytes_max(&mut self, client: Client) -> Option<usize> {
        let (_, limit) = self.limit(client, Kind::Fetch)?;
        let windows = Windows { count: self.windows.count.saturating_sub(1), ..self.windows };
        Some((limit * windows.span_s()) as usize)
    }

    /// A client creates or deletes so many partitions. A strict limit refuses them while it is used up. Returns how long the
    /// client has to be held back, in milliseconds.
    pub(crate) fn take_mutations(&mut self, client: Client, partitions: usize, strict: bool, now_us: u64) -> Mutations {
        let Some((level, limit)) = self.limit(client, Kind::Mutation) else { return Mutations::default() };
        let windows = self.mutation_windows;
        let bucket = match level {
            Level::User => &mut self.user.mutations,
            Level::Client => &mut self.clients[client.place as usize].meters.mutations,
        };
        let (given, wait_ms) = bucket.take(windows, limit, partitions as f64, strict, now_us / 1_000);
        let throttle_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX).min(i32::MAX as u32);
        Mutations { refused: !given, throttle_ms }
    }

    /// Whether the time of handling requests is to be measured.
    pub(crate) fn measures_time(&self) -> bool {
        self.rules.has(Kind::Request)
    }

    /// A request of this client was taken up.
    pub(crate) fn taken_up(&mut self, client: Client) {
        if client != Client::NOBODY && self.taken_up.len() < limits::REQUESTS_PER_TURN_MAX {
            self.taken_up.push(client);
        }
    }

    /// So much time has passed while the requests were handled that were taken up since the last call.
    pub(crate) fn time_passed(&mut self, took_us: u64, now_us: u64) {
        let taken_up = core::mem::take(&mut self.taken_up);
        let share = took_us as f64 / taken_up.len().max(1) as f64;
        // A core's time in percent: of a second.
        taken_up.iter().for_each(|client| self.record(*client, Kind::Request, share / 10_000.0, now_us));
        self.taken_up = taken_up;
        self.taken_up.clear();
    }

    /// When other shards are to be told, on the monotonic clock.
    pub(crate) fn next_deadline_us(&self) -> Option<u64> {
        self.exchange_at_us
    }

    /// What other shards have to be told now, for each of them; none if it is not time.
    pub(crate) fn take_untold(&mut self, now_us: u64) -> Option<Used> {
        self.exchange_at_us.take_if(|at_us| *at_us <= now_us)?;
        let user = core::mem::take(&mut self.untold_user);
        let mut clients = Vec::with_capacity(self.untold.len());
        for place in core::mem::take(&mut self.untold) {
            let slot = &mut self.clients[place as usize];
            clients.push((slot.name.clone(), core::mem::take(&mut slot.untold)));
        }
        Some(Used { clients, user })
    }

    /// Another shard's connections have used this.
    pub(crate) fn told(&mut self, used: &Used, now_us: u64) {
        let now_ms = now_us / 1_000;
        let windows = self.windows;
        let count = |meters: &mut Meters, usage: &Usage| {
            for (rate, amount) in meters.rates.iter_mut().zip(usage).filter(|(_, amount)| **amount != 0.0) {
                rate.record(windows, *amount, now_ms);
            }
        };
        count(&mut self.user, &used.user);
        for (name, usage) in &used.clients {
            let client = self.client(Some(name), now_ms);
            if let Some(slot) = self.clients.get_mut(client.place as usize) {
                count(&mut slot.meters, usage);
            }
        }
    }

    /// How many clients are remembered, for tests of the bound.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}

impl Used {
    /// The same again, for another shard.
    pub(crate) fn copy(&self) -> Self {
        Self { clients: self.clients.clone(), user: self.user }
    }
}

/// What became of a change that creates or deletes partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mutations {
    /// It is not to be made now.
    pub(crate) refused: bool,
    /// How long the client has to be held back, in milliseconds.
    pub(crate) throttle_ms: u32,
}

/// The windows of the configuration, as many as are worth remembering.
fn windows((count, length_s): (u32, u32)) -> Windows {
    Windows { count: count.clamp(1, limits::QUOTA_WINDOWS_MAX), length_ms: u64::from(length_s.max(1)) * 1_000 }
}

#[cfg(test)]
mod tests;
