//! What a bench leaves behind: a table, JSON, a page, and the comparison of two results.

use crate::support::bench;

#[test]
fn a_page_refers_to_nothing_outside_itself() {
    let arguments = [
        "fanout",
        "--limit",
        "-s",
        "5",
        "-r",
        "100",
        "--duration",
        "600ms",
        "--warmup",
        "0",
        "--html",
        "r.html",
        "-q",
    ];
    let bench = bench(&arguments).done();
    let page = bench.file("r.html");
    assert!(page.matches("<svg").count() >= 3, "{page}");
    for reference in ["src=", "href", "url(", "@import", "<script", "<link", "<iframe", "<img"] {
        assert!(!page.contains(reference), "{reference}");
    }
    let elsewhere = page.matches("://").count();
    assert_eq!(
        elsewhere,
        page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count(),
        "only names of namespaces"
    );
}

#[test]
fn two_results_are_compared() {
    let run = |subscribers: &str| {
        let arguments =
            ["fanout", "--limit", "-s", subscribers, "-r", "100", "--duration", "300ms", "--warmup", "0"];
        bench(&[&arguments[..], &["--json", "r.json", "-q"]].concat()).done()
    };
    let (few, many) = (run("2"), run("8"));
    let path = |bench: &crate::support::Bench| bench.path("r.json").to_str().unwrap().to_owned();
    let compared = bench(&["compare", &path(&few), &path(&many)]).done();
    let text = compared.stdout();
    assert!(text.contains("differs: subscribers: 2, 8"), "{text}");
    let line = text.lines().find(|line| line.starts_with("deliveries per second")).expect("a line");
    assert!(line.contains(" × ") && line.ends_with("better"), "{line}");
}

#[test]
fn what_is_no_result_cannot_be_compared() {
    let bench = bench(&["compare", "/dev/null", "/dev/null"]);
    assert_eq!(bench.code(), 1);
    assert!(bench.stderr().contains("/dev/null cannot be read"), "{}", bench.stderr());
}

#[test]
fn without_a_terminal_progress_is_lines() {
    let arguments = ["fanout", "--limit", "-s", "2", "--duration", "300ms", "--warmup", "0"];
    let bench = bench(&arguments).done();
    let text = bench.stderr();
    assert!(text.contains("petasos: measuring\n"), "{text}");
    assert!(!text.contains('\r') && !text.contains('\u{1b}'), "{text:?}");
}
