//! From a list of cases to tests and to names, for suites that run on several engines: `list! { tests_of (module, engine) }` and
//! `list! { names_of () }`. The program that uses it says in `CASE_LIMIT` how long one case may take.

macro_rules! tests_of {
    (($module:ident, $engine:expr) $($section:ident: [$($case:ident,)*];)*) => {
        mod $module {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let case = crate::$section::$case($engine);
                    petasos_testkit::within(crate::CASE_LIMIT, "the end of the case", Box::pin(case)).await;
                }
            )*)*
        }
    };
}

macro_rules! names_of {
    (() $($section:ident: [$($case:ident,)*];)*) => {
        &[$($(stringify!($case)),*),*]
    };
}
