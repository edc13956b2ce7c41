//! Which causes of trouble have been reported lately: one that comes and goes is reported now and then, another one at
//! once. Pure.

use std::collections::HashMap;
use std::time::Duration;

/// How long a cause that was reported is no news.
const LATELY: Duration = Duration::from_secs(30);

/// So many different causes are reported in that time, at most.
const MOST: usize = 16;

/// The causes that were reported lately, and when.
#[derive(Debug, Default)]
pub(super) struct Causes(HashMap<String, Duration>);

impl Causes {
    /// Notes that `cause` is there at `now` (monotonic). Whether it is to be reported: it was not lately.
    pub(super) fn is_news(&mut self, cause: &str, now: Duration) -> bool {
        self.0.retain(|_, at| now.saturating_sub(*at) < LATELY);
        let is_news = self.0.len() < MOST && !self.0.contains_key(cause);
        if is_news {
            self.0.insert(cause.to_owned(), now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_cause_is_news_once_in_a_while() {
        let mut causes = Causes::default();
        assert!(causes.is_news("missing", at(0)));
        assert!(!causes.is_news("missing", at(1)));
        assert!(causes.is_news("no column ruid", at(2)));
        assert!(!causes.is_news("missing", at(29)));
        assert!(causes.is_news("missing", at(30)));
        assert!(!causes.is_news("no column ruid", at(31)));
    }

    #[test]
    fn causes_without_end_do_not_fill_the_log() {
        let mut causes = Causes::default();
        let news = (0..1000).filter(|number| causes.is_news(&number.to_string(), at(0)));
        assert_eq!(news.count(), MOST);
    }
}
