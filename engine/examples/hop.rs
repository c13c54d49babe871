//! What a message to another shard costs: `cargo run --release -p corelog-engine --example hop -- [BALLS]`.
//!
//! Two hosts on cores 0 and 1 throw balls to one another, each of them back as soon as it comes. One ball: both sleep
//! between any two messages, so each hop wakes the other. Many balls: both are awake, and a batch carries several.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corelog_engine::host::{Decide, Exit, HostConfig};
use corelog_engine::net::listener::Listener;
use corelog_engine::node::{self, Member};
use corelog_engine::runtime::disk::DirectDisk;
use corelog_engine::runtime::stop::Stop;
use corelog_shard::io::{Action, Event, Now};
use corelog_shard::mesh::Seat;
use nix::sys::resource::{UsageWho, getrusage};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const SECONDS: u64 = 3;

static HOPS: AtomicU64 = AtomicU64::new(0);

struct Player {
    seat: Seat,
    balls: u32,
    hops: u64,
    stopping: bool,
}

/// What is thrown: about as large as what shards say to one another.
struct Ball([u64; 12]);

impl Decide for Player {
    type Message = Ball;

    fn handle(&mut self, _now: Now, event: Event<Ball>, actions: &mut Vec<Action<Ball>>) {
        let other = self.seat.others().next().expect("two shards");
        match event {
            Event::FreeSpace { .. } if self.seat.is_first() => {
                for _ in 0..std::mem::take(&mut self.balls) {
                    actions.push(Action::Send { to: other, message: Ball([0; 12]) });
                }
            }
            Event::Message { message: Ball(mut numbers), .. } if !self.stopping => {
                self.hops += 1;
                numbers[0] += 1;
                actions.push(Action::Send { to: other, message: Ball(numbers) });
            }
            Event::Stop => {
                self.stopping = true;
                HOPS.fetch_add(self.hops, Ordering::Relaxed);
                actions.push(Action::Stopped);
            }
            _ => {}
        }
    }

    fn end_of_turn(&mut self, _now: Now, _actions: &mut Vec<Action<Ball>>) {}

    fn next_deadline_us(&self) -> Option<u64> {
        None
    }
}

fn main() -> Fallible<()> {
    let balls = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let program = std::env::current_exe()?;
    let files = DirectDisk::create(&program.with_extension("data"))?.into_files().split(2)?;
    let player = |(seat, files): (Seat, _)| Member {
        decide: Player { seat, balls, hops: 0, stopping: false },
        files,
        cpu: Some(usize::from(seat.me.0)),
    };
    let members = Seat::all(2).zip(files).map(player).collect();
    let stop = Stop::new()?;
    let handle = stop.handle();
    let begun = Instant::now();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(SECONDS));
        handle.stop();
    });
    let listener = Listener::bind("127.0.0.1:0".parse()?)?;
    let exit = node::run(HostConfig::default(), listener, members, stop, |_| {})?;
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let cpu = usage.user_time() + usage.system_time();
    let cpu = cpu.tv_sec() as f64 * 1e6 + cpu.tv_usec() as f64;
    let hops = HOPS.load(Ordering::Relaxed) as f64;
    let Exit::Stopped(counts) = exit else { return Err("a shard failed".into()) };
    println!(
        "{balls} balls: {:.0} hops/s, {:.2} us of CPU a hop, {:.2} hops a turn, {:.2} sleeps a hop",
        hops / begun.elapsed().as_secs_f64(),
        cpu / hops,
        hops / counts.turns as f64,
        counts.sleeps as f64 / hops,
    );
    Ok(())
}
