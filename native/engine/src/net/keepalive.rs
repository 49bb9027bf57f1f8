//! The keepalive of an RTSP session (RFC 2326 section 10, RFC 7826 section 10.5): sent on time without JavaScript, answers filtered.

use std::collections::VecDeque;

/// Unanswered requests that are remembered; a server that answers none of them has long been given up.
const MAX_OUTSTANDING: usize = 16;

/// A request repeated for as long as the session plays.
#[derive(Debug)]
pub struct Keepalive {
    template: String,
    next_cseq: u32,
    interval_us: u64,
    due_us: u64,
    outstanding: VecDeque<u32>,
}

impl Keepalive {
    pub fn new(template: String, first_cseq: u32, period_ms: u32, now_us: u64) -> Self {
        let interval_us = u64::from(period_ms.max(1)) * 1000;
        Self { template, next_cseq: first_cseq, interval_us, due_us: now_us + interval_us, outstanding: VecDeque::new() }
    }

    /// The request to send now, if one is due. One that was late is not made up for.
    pub fn poll(&mut self, now_us: u64) -> Option<String> {
        if now_us < self.due_us {
            return None;
        }
        self.due_us = (self.due_us + self.interval_us).max(now_us);
        let cseq = self.next_cseq;
        self.next_cseq = cseq.wrapping_add(1);
        if self.outstanding.len() == MAX_OUTSTANDING {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back(cseq);
        Some(self.template.replace("{cseq}", &cseq.to_string()))
    }

    /// Whether a message is the good answer to one of these requests, which nobody needs to see.
    pub fn swallows(&mut self, text: &str) -> bool {
        let Some((status, cseq)) = reply(text) else { return false };
        let Some(index) = self.outstanding.iter().position(|sent| *sent == cseq) else { return false };
        self.outstanding.remove(index);
        (200..300).contains(&status)
    }
}

/// Status and `CSeq` of a reply; `None` for requests and for replies without one.
fn reply(text: &str) -> Option<(u16, u32)> {
    let mut lines = text.lines();
    let mut status_line = lines.next()?.strip_prefix("RTSP/")?.split_ascii_whitespace();
    let status = status_line.nth(1)?.parse().ok()?;
    let cseq = lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("cseq").then(|| value.trim().parse().ok())?
    })?;
    Some((status, cseq))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keepalive() -> Keepalive {
        Keepalive::new("OPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n".to_owned(), 7, 1000, 0)
    }

    #[test]
    fn counts_on_from_the_first_cseq_and_keeps_its_interval() {
        let mut keepalive = keepalive();
        assert_eq!(keepalive.poll(999_999), None);
        assert!(keepalive.poll(1_050_000).unwrap().contains("CSeq: 7\r\n"));
        assert_eq!(keepalive.poll(1_999_999), None, "due again one interval after it was due, not after it was sent");
        assert!(keepalive.poll(2_000_000).unwrap().contains("CSeq: 8\r\n"));
    }

    #[test]
    fn a_long_pause_is_not_made_up_for() {
        let mut keepalive = keepalive();
        assert!(keepalive.poll(10_500_000).is_some());
        assert!(keepalive.poll(10_500_000).is_some(), "due since it was late");
        assert_eq!(keepalive.poll(10_600_000), None);
    }

    #[test]
    fn swallows_good_answers_to_its_own_requests_only() {
        let mut keepalive = keepalive();
        keepalive.poll(1_000_000);
        keepalive.poll(2_000_000);
        assert!(!keepalive.swallows("RTSP/1.0 200 OK\r\nCSeq: 6\r\n\r\n"), "somebody else's request");
        assert!(!keepalive.swallows("OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n"), "a request of the server");
        assert!(keepalive.swallows("RTSP/1.0 200 OK\r\nServer: x\r\ncseq:7\r\n\r\n"));
        assert!(!keepalive.swallows("RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n"), "answered already");
        assert!(!keepalive.swallows("RTSP/1.0 454 Session Not Found\r\nCSeq: 8\r\n\r\n"), "a failure is for TypeScript");
        assert!(!keepalive.swallows("RTSP/1.0"), "nonsense");
    }

    #[test]
    fn forgets_the_oldest_of_many_unanswered_requests() {
        let mut keepalive = keepalive();
        for second in 1..=20 {
            keepalive.poll(second * 1_000_000);
        }
        assert_eq!(keepalive.outstanding.len(), MAX_OUTSTANDING);
        assert!(!keepalive.swallows("RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n"));
    }
}
