//! Who gets memory for a large frame, and in which order.
//!
//! Invariants: a frame is served from the budget only when nobody of its kind waits before it; the frame that has
//! waited longest may take the lane, so that somebody always gets on. Small frames never come here.

use std::collections::VecDeque;

use crate::runtime::frame_memory::{FIRST_BYTES, FrameBuffer, FrameMemory, ORDINARY_BYTES, TRUSTED_BYTES};

/// The next buffer that a frame needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Bytes of the next step.
    pub(crate) step: usize,
    /// Bytes of the whole frame.
    pub(crate) whole: usize,
}

impl Need {
    /// What a frame of `whole` bytes needs, of which `have` have arrived, on a connection that has sent frames of up to
    /// `trusted` bytes before. Steps double, so what is reserved follows what really came.
    pub(crate) fn new(whole: usize, have: usize, trusted: usize) -> Self {
        let first = trusted.clamp(FIRST_BYTES, TRUSTED_BYTES);
        Self { step: (2 * have).max(first).min(whole), whole }
    }

    fn is_ordinary(&self) -> bool {
        self.step <= ORDINARY_BYTES
    }
}

/// The budget and those who wait for it.
pub(crate) struct Admission {
    memory: FrameMemory,
    /// Connections, by their places, that wait for an ordinary step.
    ordinary: VecDeque<u32>,
    /// Those that wait for a large one.
    large: VecDeque<u32>,
    /// Somebody came since the last time that the lines were served.
    joined: bool,
    /// The memory knows that somebody waits.
    said: bool,
}

impl Admission {
    pub(crate) fn new(memory: FrameMemory) -> Self {
        Self { memory, ordinary: VecDeque::new(), large: VecDeque::new(), joined: false, said: false }
    }

    /// The largest frame that can be received.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.memory.frame_bytes_max()
    }

    /// Bytes lent out, to all hosts.
    pub(crate) fn lent(&self) -> usize {
        self.memory.lent()
    }

    /// How many connections wait.
    pub(crate) fn waiting(&self) -> usize {
        self.ordinary.len() + self.large.len()
    }

    /// A buffer for the connection in this place, or a place in the line for it.
    pub(crate) fn ask(&mut self, place: u32, need: Need) -> Option<FrameBuffer> {
        let line = if need.is_ordinary() { &mut self.ordinary } else { &mut self.large };
        if line.is_empty()
            && let Some(buffer) = self.memory.lend(need.step)
        {
            return Some(buffer);
        }
        line.push_back(place);
        self.joined = true;
        self.say();
        None
    }

    /// Takes a connection out of the line.
    pub(crate) fn leave(&mut self, place: u32) {
        self.ordinary.retain(|&waiting| waiting != place);
        self.large.retain(|&waiting| waiting != place);
        self.say();
    }

    /// Lets the memory know whether somebody waits.
    fn say(&mut self) {
        let waits = self.waiting() > 0;
        if std::mem::replace(&mut self.said, waits) != waits {
            self.memory.wait(waits);
        }
    }

    /// Whether serving may succeed: somebody came, or waits while something was given back, since this was last asked.
    pub(crate) fn may_serve(&mut self) -> bool {
        let joined = std::mem::take(&mut self.joined);
        self.waiting() > 0 && (self.memory.freed() || joined)
    }

    /// The next connection in line and its buffer. `need` says what a connection asked for. Call it until it returns
    /// nothing.
    pub(crate) fn serve(&mut self, need: impl Fn(u32) -> Need) -> Option<(u32, FrameBuffer)> {
        let served = self.serve_first(need);
        self.say();
        served
    }

    fn serve_first(&mut self, need: impl Fn(u32) -> Need) -> Option<(u32, FrameBuffer)> {
        for line in [&mut self.ordinary, &mut self.large] {
            if let Some(&place) = line.front()
                && let Some(buffer) = self.memory.lend(need(place).step)
            {
                line.pop_front();
                return Some((place, buffer));
            }
        }
        // The lane goes to the large ones first: the shared part serves the others sooner.
        for line in [&mut self.large, &mut self.ordinary] {
            if let Some(&place) = line.front()
                && let Some(buffer) = self.memory.lend_lane(need(place).whole)
            {
                line.pop_front();
                return Some((place, buffer));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn steps_follow_what_arrived() {
        let mut have = 10;
        let mut steps = Vec::new();
        while have < 10 * MIB {
            have = Need::new(10 * MIB, have, 0).step;
            steps.push(have);
        }
        assert_eq!(steps[..3], [FIRST_BYTES, 2 * FIRST_BYTES, 4 * FIRST_BYTES]);
        assert_eq!(steps.last(), Some(&(10 * MIB)));
        assert_eq!(Need::new(20_000, 0, 0).step, 20_000);
        assert_eq!(Need::new(10 * MIB, 0, MIB).step, MIB);
        assert_eq!(Need::new(100 * MIB, 0, 100 * MIB).step, TRUSTED_BYTES);
    }

    #[test]
    fn whoever_came_first_is_served_first() {
        let mut admission = Admission::new(FrameMemory::new(4 * MIB, 2 * MIB));
        let need = Need { step: MIB, whole: MIB };
        let held = [admission.ask(0, need).unwrap(), admission.ask(1, need).unwrap()];
        assert!(
            admission.ask(2, need).is_none() && admission.ask(3, need).is_none() && admission.ask(4, need).is_none()
        );
        assert_eq!(admission.serve(|_| need).map(|(place, _)| place), Some(2), "on the lane, given back at once");
        drop(held);
        assert!(admission.ask(5, need).is_none(), "others wait before it");
        admission.leave(4);
        let order: Vec<_> = std::iter::from_fn(|| admission.serve(|_| need).map(|(place, _)| place)).collect();
        assert_eq!((order, admission.waiting()), (vec![3, 5], 0));
    }

    #[test]
    fn announcements_do_not_keep_ordinary_frames_out() {
        let mut admission = Admission::new(FrameMemory::new(256 * MIB, 100 * MIB));
        let announced: Vec<_> =
            (0..40).map(|place| admission.ask(place, Need::new(100 * MIB, 0, 0)).unwrap()).collect();
        assert!(announced.iter().map(|buffer| buffer.capacity()).sum::<usize>() < 4 * MIB);
        assert!(admission.ask(99, Need::new(MIB, 0, 0)).is_some());
    }

    #[test]
    fn large_frames_that_hold_half_of_what_they_need_get_on_one_after_the_other() {
        let mut admission = Admission::new(FrameMemory::new(64 * MIB, 20 * MIB));
        let whole = 20 * MIB;
        let mut held: Vec<Option<FrameBuffer>> = Vec::new();
        let mut have = [0; 12];
        let mut waiting = [false; 12];
        held.resize_with(12, || None);
        let mut done = 0;
        for _round in 0..1000 {
            for place in 0..12 {
                if have[place] < whole && !waiting[place] {
                    match admission.ask(place as u32, Need::new(whole, have[place], 0)) {
                        Some(buffer) => (have[place], held[place]) = (buffer.capacity().min(whole), Some(buffer)),
                        None => waiting[place] = true,
                    }
                }
            }
            while let Some((place, buffer)) = admission.serve(|place| Need::new(whole, have[place as usize], 0)) {
                let place = place as usize;
                waiting[place] = false;
                (have[place], held[place]) = (buffer.capacity().min(whole), Some(buffer));
            }
            for place in 0..12 {
                if have[place] == whole && held[place].take().is_some() {
                    done += 1;
                }
            }
        }
        assert_eq!(done, 12);
    }
}
