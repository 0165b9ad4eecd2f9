//! The protocol, rule by rule, over a real socket and on every engine. A case is named by its rule in
//! `docs/protocol.md`; `every_case!` below is the list of all of them, and one that is not in it is a compile error
//! (dead code).
//!
//! Every case runs a second time where the 0.x generation is served as well: the mode takes nothing back. Beside them there
//! are cases for clients of that generation, one list for hubs that serve it and one for hubs that do not.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

#[macro_use]
#[path = "../common/suite.rs"]
mod suite;

#[macro_use]
mod list;

mod challenges;
mod clients;
mod cors;
mod credentials;
mod details;
mod discovery;
mod forbidden;
mod generations;
mod grants;
mod history;
mod issuers;
mod limits;
mod listing;
mod matching;
mod old_cursors;
mod old_presence;
mod old_refused;
mod old_tokens;
mod old_topics;
mod parameters;
mod presence;
mod publishing;
mod streams;
mod subscribing;
mod support;
mod tokens;
mod wire;

use std::time::Duration;

/// How long one case may take. Only the cut-off of unfinished requests comes near it.
const CASE_LIMIT: Duration = Duration::from_secs(60);

macro_rules! conformance_suite {
    ($module:ident, $engine:expr, $old_module:ident: $old_cases:ident) => {
        every_case! { tests_of ($module, $engine) }
        $old_cases! { tests_of ($old_module, $engine) }
    };
}

/// The names of all cases that every hub must pass.
const CASES: &[&str] = every_case! { names_of () };

/// Those of old clients on a hub that does not serve them, and on one that does.
const CASES_WITHOUT_THE_MODE: &[&str] = every_case_without_the_mode! { names_of () };
const CASES_WITH_THE_MODE: &[&str] = every_case_with_the_mode! { names_of () };

/// How many there must be: a suite that shrinks unnoticed proves nothing.
const EXPECTED_CASES: usize = 217;
const EXPECTED_CASES_WITHOUT_THE_MODE: usize = 6;
const EXPECTED_CASES_WITH_THE_MODE: usize = 34;

/// The rules that this suite answers for: all of them.
const RULES: [(char, std::ops::RangeInclusive<u32>); 9] = [
    ('s', 1..=14),
    ('m', 1..=6),
    ('p', 1..=13),
    ('a', 1..=17),
    ('r', 1..=7),
    ('e', 1..=8),
    ('d', 1..=2),
    ('c', 1..=9),
    ('l', 1..=8),
];

#[test]
fn every_case_is_counted() {
    println!("{} conformance cases per transport", CASES.len());
    assert_eq!(CASES.len(), EXPECTED_CASES);
    assert_eq!(CASES_WITHOUT_THE_MODE.len(), EXPECTED_CASES_WITHOUT_THE_MODE);
    assert_eq!(CASES_WITH_THE_MODE.len(), EXPECTED_CASES_WITH_THE_MODE);
}

#[test]
fn every_rule_has_a_case() {
    // Rules of section C that others say as well are covered under the other's name; see `clients`.
    const COVERED_ELSEWHERE: [&str; 3] = ["c02", "c04", "c06"];
    for (section, numbers) in RULES {
        for number in numbers {
            let rule = format!("{section}{number:02}");
            let all = [CASES, CASES_WITHOUT_THE_MODE, CASES_WITH_THE_MODE].concat();
            let cases = all.iter().filter(|name| name.contains(&format!("{rule}_"))).count();
            assert!(cases > 0 || COVERED_ELSEWHERE.contains(&rule.as_str()), "{rule} has no case");
        }
    }
}

conformance_suite!(local, crate::common::Engine::Local, local_old: every_case_without_the_mode);
conformance_suite!(sqlite, crate::common::Engine::Sqlite, sqlite_old: every_case_without_the_mode);
conformance_suite!(redis, crate::common::Engine::Redis, redis_old: every_case_without_the_mode);
conformance_suite!(postgres, crate::common::Engine::Postgres, postgres_old: every_case_without_the_mode);
conformance_suite!(nats, crate::common::Engine::Nats, nats_old: every_case_without_the_mode);
conformance_suite!(
    local_compatible,
    crate::common::Engine::LocalCompatible,
    local_compatible_old: every_case_with_the_mode
);
conformance_suite!(
    sqlite_compatible,
    crate::common::Engine::SqliteCompatible,
    sqlite_compatible_old: every_case_with_the_mode
);
