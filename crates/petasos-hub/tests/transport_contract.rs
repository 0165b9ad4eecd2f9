//! The contract of a transport, on every engine.

mod common;

petasos_testkit::transport_contract!(local, crate::common::local);
petasos_testkit::transport_contract!(sqlite, crate::common::sqlite);

#[test]
fn every_engine_has_every_case() {
    println!("{} cases of the contract per transport", local::CASES);
    assert_eq!((local::CASES, sqlite::CASES), (22, 22));
}
