//! How many connections the process takes: at a time, from one address, and within a second.
//!
//! One quota is shared by all hosts of a process. Invariants: whoever is let in holds a [`Pass`] and counts until it is
//! dropped; new bounds hold for those that come from then on, nobody is thrown out.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use corelog_shard::config::ConnectionBounds;

/// So much may come at once of what a second's rate allows, in microseconds.
const BURST_US: u64 = 1_000_000;

/// Addresses whose turns are remembered; beyond it those are forgotten that may come at once again.
const ADDRESSES_MAX: usize = 10_000;

/// The bounds, and who counts towards them. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct ConnectionQuota(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    /// `None`: as many as come.
    bounds: Option<Bounds>,
    /// Grows with every change of the bounds.
    change: u64,
    open: usize,
    by_address: HashMap<IpAddr, usize>,
    /// When the rate allows the next connection, on the monotonic clock; those before it were let in or put off.
    next_us: u64,
    /// The same by address, of those with a rate of their own.
    next_by_address_us: HashMap<IpAddr, u64>,
}

#[derive(Clone, Debug)]
struct Bounds {
    total_max: usize,
    per_ip_max: usize,
    by_address: HashMap<IpAddr, usize>,
    rate_max: usize,
    ip_rate_max: Option<u32>,
    ip_rates: HashMap<IpAddr, u32>,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `max.connections`.
    Total(usize),
    /// `max.connections.per.ip`, or its override for this address.
    Address(usize),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total(max) => write!(f, "there are {max} already"),
            Self::Address(max) => write!(f, "there are {max} from this address already"),
        }
    }
}

/// Somebody who was let in.
#[derive(Debug)]
pub(crate) struct Pass {
    quota: ConnectionQuota,
    address: IpAddr,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counted = self.quota.counted();
        counted.open -= 1;
        let left = counted.by_address.get_mut(&self.address).expect("who has a pass is counted");
        *left -= 1;
        if *left == 0 {
            counted.by_address.remove(&self.address);
        }
    }
}

impl ConnectionQuota {
    /// Sets the bounds. Hosts that are named are looked up in the background; until then only addresses count.
    pub fn set(&self, bounds: &ConnectionBounds) {
        let addresses = |text: &str| text.parse::<IpAddr>().ok();
        let (numbers, names): (Vec<_>, Vec<_>) =
            bounds.per_ip_overrides.iter().cloned().partition(|(host, _)| addresses(host).is_some());
        let by_address = numbers.iter().filter_map(|(host, max)| Some((addresses(host)?.to_canonical(), *max)));
        let change = {
            let mut counted = self.counted();
            counted.change += 1;
            counted.bounds = Some(Bounds {
                total_max: bounds.total_max,
                per_ip_max: bounds.per_ip_max,
                by_address: by_address.collect(),
                rate_max: bounds.rate_max,
                ip_rate_max: bounds.ip_rates.iter().find(|(ip, _)| ip.is_none()).map(|(_, rate)| *rate),
                ip_rates: (bounds.ip_rates.iter())
                    .filter_map(|(ip, rate)| Some((ip.as_ref()?.to_canonical(), *rate)))
                    .collect(),
            });
            counted.next_by_address_us.clear();
            counted.change
        };
        if !names.is_empty() {
            let quota = self.clone();
            thread::spawn(move || quota.look_up(&names, change));
        }
    }

    /// Adds the addresses of hosts, unless the bounds have changed since.
    fn look_up(&self, names: &[(String, usize)], change: u64) {
        for (name, max) in names {
            match (name.as_str(), 0).to_socket_addrs() {
                Ok(found) => {
                    let mut counted = self.counted();
                    if counted.change != change {
                        return;
                    }
                    let Some(bounds) = &mut counted.bounds else { return };
                    bounds.by_address.extend(found.map(|address| (address.ip().to_canonical(), *max)));
                }
                Err(error) => tracing::warn!("max.connections.per.ip.overrides: {name} has no address: {error}"),
            }
        }
    }

    /// Lets somebody in from `address`, or says why not. With the pass comes the time from which on it may be served.
    pub(crate) fn admit(&self, address: IpAddr, now_us: u64) -> Result<(Pass, u64), Refusal> {
        let address = address.to_canonical();
        let mut counted = self.counted();
        let mut serve_at_us = now_us;
        if let Some(bounds) = &counted.bounds {
            if counted.open >= bounds.total_max {
                return Err(Refusal::Total(bounds.total_max));
            }
            let max = bounds.by_address.get(&address).copied().unwrap_or(bounds.per_ip_max);
            if counted.by_address.get(&address).copied().unwrap_or(0) >= max {
                return Err(Refusal::Address(max));
            }
            let rate_max = bounds.rate_max;
            let ip_rate = bounds.ip_rates.get(&address).copied().or(bounds.ip_rate_max);
            serve_at_us = take_turn(&mut counted.next_us, rate_max as u64, now_us);
            if let Some(rate) = ip_rate {
                if counted.next_by_address_us.len() >= ADDRESSES_MAX {
                    counted.next_by_address_us.retain(|_, next_us| *next_us > now_us);
                }
                let next_us = counted.next_by_address_us.entry(address).or_insert(0);
                serve_at_us = serve_at_us.max(take_turn(next_us, u64::from(rate), now_us));
            }
        }
        counted.open += 1;
        *counted.by_address.entry(address).or_insert(0) += 1;
        Ok((Pass { quota: self.clone(), address }, serve_at_us))
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the next turn that a rate allows in a second. Returns when it is.
fn take_turn(next_us: &mut u64, rate: u64, now_us: u64) -> u64 {
    let rate_us = 1_000_000 / rate.max(1);
    let turn_us = (*next_us).max(now_us);
    *next_us = turn_us.saturating_add(rate_us);
    turn_us.saturating_sub(BURST_US.saturating_sub(rate_us)).max(now_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: usize = i32::MAX as usize;

    fn quota(total_max: usize, per_ip_max: usize, overrides: &[(&str, usize)], rate_max: usize) -> ConnectionQuota {
        let quota = ConnectionQuota::default();
        quota.set(&bounds(total_max, per_ip_max, overrides, rate_max));
        quota
    }

    fn bounds(total_max: usize, per_ip_max: usize, overrides: &[(&str, usize)], rate_max: usize) -> ConnectionBounds {
        let per_ip_overrides = overrides.iter().map(|(host, max)| (host.to_string(), *max)).collect();
        ConnectionBounds { total_max, per_ip_max, per_ip_overrides, rate_max, ip_rates: Vec::new() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn room_is_used_again() {
        let quota = quota(2, NONE, &[], NONE);
        let first = quota.admit(ip("10.0.0.1"), 0).unwrap();
        let _second = quota.admit(ip("10.0.0.2"), 0).unwrap();
        assert_eq!(quota.admit(ip("10.0.0.3"), 0).unwrap_err(), Refusal::Total(2));
        drop(first);
        let _third = quota.admit(ip("10.0.0.3"), 0).unwrap();
        assert_eq!(quota.clone().admit(ip("10.0.0.4"), 0).unwrap_err(), Refusal::Total(2), "clones count together");
    }

    #[test]
    fn addresses_count_on_their_own() {
        let quota = quota(NONE, 1, &[("10.0.0.9", 2), ("10.0.0.8", 0)], NONE);
        let mut passes = vec![quota.admit(ip("10.0.0.1"), 0).unwrap(), quota.admit(ip("10.0.0.2"), 0).unwrap()];
        assert_eq!(quota.admit(ip("10.0.0.1"), 0).unwrap_err(), Refusal::Address(1));
        assert_eq!(quota.admit(ip("::ffff:10.0.0.1"), 0).unwrap_err(), Refusal::Address(1), "it is the same one");
        assert_eq!(quota.admit(ip("10.0.0.8"), 0).unwrap_err(), Refusal::Address(0));
        passes.extend([quota.admit(ip("10.0.0.9"), 0).unwrap(), quota.admit(ip("10.0.0.9"), 0).unwrap()]);
        assert_eq!(quota.admit(ip("10.0.0.9"), 0).unwrap_err(), Refusal::Address(2));
        quota.set(&bounds(NONE, 3, &[], NONE));
        passes.push(quota.admit(ip("10.0.0.9"), 0).unwrap());
        assert_eq!(quota.admit(ip("10.0.0.9"), 0).unwrap_err(), Refusal::Address(3));
        passes.clear();
        assert!(quota.counted().by_address.is_empty());
    }

    #[test]
    fn named_hosts_are_looked_up() {
        let quota = quota(NONE, NONE, &[], NONE);
        let change = quota.counted().change;
        quota.look_up(&[("localhost".to_owned(), 0)], change);
        let local = ["127.0.0.1", "::1"].map(|text| quota.admit(ip(text), 0).err());
        assert!(local.contains(&Some(Refusal::Address(0))), "{local:?}");
        quota.set(&bounds(NONE, NONE, &[], NONE));
        quota.look_up(&[("localhost".to_owned(), 0)], change);
        assert!(quota.admit(ip("127.0.0.1"), 0).is_ok(), "the bounds are others by now");
    }

    #[test]
    fn more_than_a_seconds_worth_waits_for_its_turn() {
        let quota = quota(NONE, NONE, &[], 10);
        let mut passes = Vec::new();
        let mut admit = |now_us| {
            let (pass, serve_at_us) = quota.admit(ip("10.0.0.1"), now_us).unwrap();
            passes.push(pass);
            serve_at_us
        };
        let start = 5_000_000;
        let times: Vec<u64> = (0..13).map(|_| admit(start) - start).collect();
        assert_eq!(times, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100_000, 200_000, 300_000]);
        assert_eq!(admit(start + 60_000_000), start + 60_000_000, "what was not used up is not saved either");
    }

    #[test]
    fn an_address_has_a_rate_of_its_own() {
        let quota = ConnectionQuota::default();
        let ip_rates = vec![(Some(ip("10.0.0.1")), 2), (None, 5)];
        quota.set(&ConnectionBounds { ip_rates, ..bounds(NONE, NONE, &[], NONE) });
        let start = 5_000_000;
        let mut passes = Vec::new();
        let mut admit = |address: &str| {
            let (pass, serve_at_us) = quota.admit(ip(address), start).unwrap();
            passes.push(pass);
            serve_at_us - start
        };
        assert_eq!([admit("10.0.0.1"), admit("::ffff:10.0.0.1"), admit("10.0.0.1")], [0, 0, 500_000]);
        let others: Vec<u64> = (0..6).map(|_| admit("10.0.0.2")).collect();
        assert_eq!(others, [0, 0, 0, 0, 0, 200_000]);
        assert_eq!(admit("10.0.0.3"), 0, "each address on its own");
    }
}
