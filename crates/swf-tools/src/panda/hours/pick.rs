//! Which cells a filter selects.

use std::collections::HashMap;

use super::cell::{Hour, Place};
use crate::panda::filter::{JobFilter, Matcher};
use crate::panda::patterns::BETWEEN;

/// A filter, ready for the cells of any hour.
pub struct Picks {
    statuses: Vec<String>,
    user: Option<Matcher>,
    site: Option<Matcher>,
    group: Option<Matcher>,
    storage: Option<Matcher>,
    task: Option<i64>,
    request: Option<i64>,
}

impl Picks {
    /// From a filter; its component, code and window are looked at elsewhere.
    pub fn new(filter: &JobFilter) -> Picks {
        let matcher = |value: &Option<String>| value.as_deref().map(Matcher::new);
        Picks {
            statuses: filter.statuses.clone(),
            user: matcher(&filter.username),
            site: matcher(&filter.site),
            group: filter.workinggroup.as_deref().map(Matcher::equal),
            storage: matcher(&filter.destinationse),
            task: filter.taskid,
            request: filter.reqid,
        }
    }

    /// The places of an hour: each text is looked at once.
    pub fn of<'a, C>(&'a self, hour: &'a Hour<C>) -> Places<'a, C> {
        Places { picks: self, hour, seen: HashMap::new() }
    }
}

/// Looks at the places of one hour.
pub struct Places<'a, C> {
    picks: &'a Picks,
    hour: &'a Hour<C>,
    seen: HashMap<(u8, u32), bool>,
}

impl<C> Places<'_, C> {
    /// Whether a cell's jobs are selected by what they are and where.
    pub fn wants(&mut self, place: &Place) -> bool {
        let picks = self.picks;
        picks.task.is_none_or(|task| place.task == Some(task))
            && picks.request.is_none_or(|request| place.request == Some(request))
            && (picks.statuses.is_empty()
                || self.test(0, place.status, |word| picks.statuses.iter().any(|s| s == word)))
            && picks.user.as_ref().is_none_or(|m| self.test(1, place.user, |word| m.fits(word)))
            && picks.site.as_ref().is_none_or(|m| self.test(2, place.site, |word| m.fits(word)))
            && picks.group.as_ref().is_none_or(|m| self.test(3, place.group, |word| m.fits(word)))
    }

    /// Whether one of the storage elements is selected.
    pub fn wants_storage(&mut self, storage: u32) -> bool {
        let picks = self.picks;
        let Some(matcher) = &picks.storage else { return true };
        self.test(4, storage, |word| word.split(BETWEEN).any(|one| matcher.fits(one)))
    }

    /// Null fits no filter.
    fn test(&mut self, field: u8, number: u32, fits: impl Fn(&str) -> bool) -> bool {
        let hour = self.hour;
        *self.seen.entry((field, number)).or_insert_with(|| hour.word(number).is_some_and(fits))
    }
}
