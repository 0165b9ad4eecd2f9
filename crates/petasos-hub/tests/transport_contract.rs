//! The contract of a transport, on every engine.

mod common;

petasos_testkit::transport_contract!(local, crate::common::local);
petasos_testkit::transport_contract!(sqlite, crate::common::sqlite);
petasos_testkit::shared_contract!(sqlite_shared, crate::common::sqlite_place);
#[cfg(feature = "redis")]
petasos_testkit::transport_contract!(redis, crate::common::redis);
#[cfg(feature = "redis")]
petasos_testkit::shared_contract!(redis_shared, crate::common::redis_place);
#[cfg(feature = "nats")]
petasos_testkit::transport_contract!(nats, crate::common::nats);
#[cfg(feature = "nats")]
petasos_testkit::shared_contract!(nats_shared, crate::common::nats_place);
#[cfg(feature = "nats")]
petasos_testkit::transport_contract!(nats_old, crate::common::nats_old);
#[cfg(feature = "nats")]
petasos_testkit::shared_contract!(nats_old_shared, crate::common::nats_old_place);
#[cfg(feature = "postgres")]
petasos_testkit::transport_contract!(postgres, crate::common::postgres);
#[cfg(feature = "postgres")]
petasos_testkit::shared_contract!(postgres_shared, crate::common::postgres_place);

#[test]
fn every_engine_has_every_case() {
    println!("{} cases of the contract per transport", local::CASES);
    assert_eq!((local::CASES, sqlite::CASES), (22, 22));
    println!("{} cases of shared logs per transport", sqlite_shared::CASES);
    assert_eq!(sqlite_shared::CASES, 15);
    #[cfg(feature = "redis")]
    assert_eq!((redis::CASES, redis_shared::CASES), (22, 15));
    #[cfg(feature = "nats")]
    assert_eq!((nats::CASES, nats_shared::CASES), (22, 15));
    #[cfg(feature = "nats")]
    assert_eq!((nats_old::CASES, nats_old_shared::CASES), (22, 15));
    #[cfg(feature = "postgres")]
    assert_eq!((postgres::CASES, postgres_shared::CASES), (22, 15));
}
