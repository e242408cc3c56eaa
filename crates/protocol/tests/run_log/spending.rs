//! Several instances report the cost of runs, at the same time and repeatedly, over one store that sometimes fails.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use twentyfirst_protocol::run_log::{
    Account, Appended, Counted, Counting, CountingEnd, CountingStep, Found, LogId, Period,
    Position, Spent, Usd,
};
use twentyfirst_protocol::threads::Usage;

use crate::store::Store;

/// Midnight, and the beginning of a month.
const MIDNIGHT: u64 = 1_772_323_200;

fn moment(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(MIDNIGHT.saturating_add_signed(seconds))
}

fn spent(cents: u64) -> Spent {
    let mut usage = Usage::default();
    usage.total_cost_usd = Some(cents as f64 / 100.0);
    Spent::by_run(&usage).unwrap()
}

/// A report of the cost of a run.
#[derive(Debug, Clone)]
struct Report {
    run: usize,
    /// The time, in seconds after midnight.
    at: i64,
}

/// The way in which the store serves a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Service {
    Well,
    /// The request took no effect.
    Fails,
    /// The request took effect, but the response was lost.
    Unheard,
}

fn reports() -> impl Strategy<Value = Vec<Report>> {
    let report = (0_usize..6, -3_i64..3).prop_map(|(run, at)| Report { run, at });
    prop::collection::vec(report, 1..14)
}

fn services() -> impl Strategy<Value = Vec<(prop::sample::Index, Service, usize)>> {
    let service = prop_oneof![
        8 => Just(Service::Well),
        1 => Just(Service::Fails),
        1 => Just(Service::Unheard),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), service, 1_usize..4), 0..300)
}

struct World {
    store: Store,
    period: Period,
}

/// Returns the owner and the chat of a run: two chats of one user, and one without a user.
fn place(run: usize) -> (&'static str, &'static str) {
    [("user", "chat-1"), ("user", "chat-2"), ("", "chat-1")][run % 3]
}

fn cents(run: usize) -> u64 {
    [1, 7, 10, 33, 250, 12][run]
}

impl World {
    fn counting(&self, report: &Report) -> Counting {
        let (owner, chat) = place(report.run);
        Counting::new(
            &format!("run-{}", report.run),
            owner,
            chat,
            spent(cents(report.run)),
            self.period,
            moment(report.at),
        )
    }

    /// Executes one step. Returns the end of counting, if it has ended.
    fn step(
        &mut self,
        counting: &mut Counting,
        service: Service,
        limit: usize,
    ) -> Option<CountingEnd> {
        let fails = service != Service::Well;
        match counting.poll() {
            CountingStep::Last(log) => counting.handle_last(match fails {
                true => Found::Unavailable,
                false => self.store.last(&log),
            }),
            CountingStep::Read(log, after) => counting.handle_page(match fails {
                true => Found::Unavailable,
                false => self.store.read(&log, after, limit),
            }),
            CountingStep::Append(log, append) => {
                let appended = match service {
                    Service::Fails => Appended::Unavailable,
                    _ => self.store.append(None, 0, &log, &append),
                };
                counting.handle_append(match fails {
                    true => Appended::Unavailable,
                    false => appended,
                });
            }
            CountingStep::Over(end) => return Some(end),
            _ => unreachable!("there is no other step"),
        }
        None
    }

    fn entries(&self, account: &Account, at: i64) -> Vec<Counted> {
        let log = LogId::spent(account, self.period, moment(at));
        match self.store.read(&log, Position::START, usize::MAX) {
            Found::Some(entries) => {
                let entries = entries.iter();
                entries
                    .map(|(_, entry)| Counted::decode(entry).unwrap())
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns how often each run is in an account, over all of its periods. Checks that each total is the sum up to there.
    fn counted(&self, account: &Account) -> BTreeMap<String, usize> {
        let mut counted = BTreeMap::new();
        let names = [-1, 1].map(|at| (self.period.name_at(moment(at)), at));
        for (_, at) in BTreeMap::from(names) {
            let mut total = Spent::default();
            for entry in self.entries(account, at) {
                let run: usize = entry.run["run-".len()..].parse().unwrap();
                total = total.plus(spent(cents(run)));
                assert_eq!(entry.total, total);
                *counted.entry(entry.run).or_default() += 1;
            }
        }
        counted
    }
}

fn accounts() -> [Account; 4] {
    [
        Account::owner("user"),
        Account::chat("user", "chat-1"),
        Account::chat("user", "chat-2"),
        Account::chat("", "chat-1"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn each_run_is_counted_once_however_many_report_it(
        reports in reports(),
        services in services(),
        period in prop_oneof![Just(Period::Day), Just(Period::Month), Just(Period::Ever)],
    ) {
        let mut world = World { store: Store::default(), period };
        let mut under_way: Vec<(Report, Counting)> = reports
            .iter()
            .map(|report| (report.clone(), world.counting(report)))
            .collect();
        let mut acknowledged: Vec<usize> = Vec::new();
        // After the last of these, the store serves all reporters in turn.
        let rest = (0..4000).map(|n| (None, Service::Well, 1 + n % 3, n));
        let services = services.into_iter().map(|(who, service, limit)| (Some(who), service, limit, 0));
        for (who, service, limit, n) in services.chain(rest) {
            if under_way.is_empty() {
                break;
            }
            let at = who.map_or(n % under_way.len(), |who| who.index(under_way.len()));
            let (report, counting) = &mut under_way[at];
            match world.step(counting, service, limit) {
                None => {}
                Some(CountingEnd::Counted) => {
                    acknowledged.push(report.run);
                    under_way.remove(at);
                }
                // It is reported again some time later.
                Some(CountingEnd::Unavailable) => {
                    report.at += 1;
                    *counting = world.counting(&report.clone());
                }
                Some(end) => panic!("{end:?}"),
            }
            // A confirmed run is in each account exactly once, at any time.
            for account in accounts() {
                let counted = world.counted(&account);
                prop_assert!(counted.values().all(|times| *times == 1), "{account:?}: {counted:?}");
                for run in &acknowledged {
                    let (owner, chat) = place(*run);
                    if Account::of_run(owner, chat).contains(&account) {
                        let run = format!("run-{run}");
                        prop_assert!(counted.contains_key(&run), "{account:?}: {counted:?} has no {run}");
                    }
                }
            }
        }
        prop_assert!(under_way.is_empty(), "{} do not come to their end", under_way.len());
    }
}

/// Counts to the end.
fn count(world: &mut World, report: &Report) {
    let mut counting = world.counting(report);
    for _ in 0..100 {
        if let Some(end) = world.step(&mut counting, Service::Well, 2) {
            return assert_eq!(end, CountingEnd::Counted);
        }
    }
    panic!("no end");
}

#[test]
fn a_run_counts_on_the_day_of_its_first_report() {
    let mut world = World {
        store: Store::default(),
        period: Period::Day,
    };
    count(&mut world, &Report { run: 1, at: -1 });
    count(&mut world, &Report { run: 1, at: 1 });
    count(&mut world, &Report { run: 4, at: 2 });
    let user = Account::owner("user");
    assert_eq!(
        world.entries(&user, -1)[0].total.cost,
        Usd::from_dollars(0.07)
    );
    let today = world.entries(&user, 1);
    assert_eq!(today.len(), 1);
    assert_eq!(today[0].total.cost, Usd::from_dollars(2.5));
    assert_eq!(today[0].total.runs, 1);
}

#[test]
fn an_account_lost_by_the_store_begins_anew() {
    let mut world = World {
        store: Store::default(),
        period: Period::Ever,
    };
    for run in [0, 1, 3] {
        count(&mut world, &Report { run, at: 0 });
    }
    let user = Account::owner("user");
    world.store = Store::default();
    count(&mut world, &Report { run: 4, at: 0 });
    let entries = world.entries(&user, 0);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].total.cost, Usd::from_dollars(2.5));
}
