//! Headless Chromium: its own EventSource and the polyfill, and what scripts of other origins may read.

use petasos_testkit::{HUB_PATH, TestHub, grant, matching};
use serde_json::{Value, json};

use crate::{
    driver::{Driver, event},
    generation::{Generation, old_publisher_token},
    hub::Hubs,
    publishers::symfony,
    survival::{TOPIC, survives},
};

/// Debian's package.
const CHROMIUM: &str = "/usr/bin/chromium";

/// A document that the hub always serves (D01).
const METADATA: &str = "/.well-known/oauth-protected-resource/.well-known/mercure";

/// Over the limit of a body, which is 1 MiB by default.
const TOO_MANY_MEGABYTES: usize = 3;

/// A browser, and the origins of an application: one that the hub lists, and another one.
struct Browser {
    driver: Driver,
    listed: String,
    other: String,
}

impl Browser {
    async fn start() -> Self {
        let mut driver = Driver::browser(CHROMIUM);
        let ready = driver.expect("ready").await;
        let origin = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { listed: origin("listed"), other: origin("other"), driver }
    }

    /// Loads a page of the application, which sets this cookie.
    async fn visit(&mut self, origin: &str, cookie: &str) {
        let command = json!({ "visit": { "url": format!("{origin}/"), "cookies": [cookie] } });
        assert_eq!(self.driver.ask(&command, "visited").await["status"], 200);
    }

    /// Opens the browser's own EventSource in the page, with its cookies.
    async fn subscribe(&mut self, url: &str) {
        self.subscribe_with(url, &json!({ "withCredentials": true }), &json!({})).await;
    }

    async fn subscribe_with(&mut self, url: &str, options: &Value, more: &Value) {
        let mut command = json!({ "url": url, "options": options, "types": ["odd"] });
        command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.driver.tell(&json!({ "subscribe": command })).await;
    }

    /// What a script can read of the answer.
    async fn fetch(&mut self, url: &str, options: &Value) -> Value {
        self.driver.ask(&json!({ "fetch": { "url": url, "options": options } }), "fetched").await
    }
}

/// The cookie of an application on the hub's host, as its server sets it.
fn cookie(generation: Generation, token: &str) -> String {
    let name = generation.cookie_name();
    format!("{name}={token}; Path={HUB_PATH}; Secure; HttpOnly; SameSite=Strict")
}

/// A browser and the hubs for the listed origin of its application.
async fn start(generation: Generation) -> (Browser, Hubs) {
    let browser = Browser::start().await;
    let hubs = Hubs::start(generation, &[&browser.listed]).await;
    (browser, hubs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c02_c03_r01_s14_the_event_source_of_a_browser_with_its_cookie() {
    let (mut browser, mut hubs) = start(Generation::New).await;
    let token = hubs.browsers_token(&[TOPIC]);
    browser.visit(&browser.listed.clone(), &cookie(Generation::New, &token)).await;
    browser.subscribe(&hubs.browsers_url(TOPIC)).await;
    survives(&mut browser.driver, &mut hubs).await;
    browser.driver.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c02_c03_c05_r01_s14_the_polyfill_in_a_browser_with_a_field_and_a_preflight() {
    let (mut browser, mut hubs) = start(Generation::New).await;
    let token = hubs.browsers_token(&[TOPIC]);
    browser.visit(&browser.listed.clone(), "").await;
    let options = json!({
        "headers": { "Authorization": format!("Bearer {token}") },
        "lastEventIdQueryParameterName": "last_event_id",
    });
    browser.subscribe_with(&hubs.browsers_url(TOPIC), &options, &json!({ "polyfill": true })).await;
    survives(&mut browser.driver, &mut hubs).await;
    browser.driver.end().await;
}

/// The whole of a Symfony application: its cookie, as its component makes it, and its update.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l01_l04_the_event_source_of_a_browser_with_the_cookie_of_symfony() {
    let (mut browser, mut hubs) = start(Generation::Old).await;
    let mut application = symfony(&hubs, &old_publisher_token(&["*"]));
    let page = format!("{}/", browser.listed);
    let command = json!({ "cookie": { "page": page, "subscribe": [TOPIC, "https://example.com/{+any}"] } });
    let cookie = application.ask(&command, "cookie").await;
    browser.visit(&browser.listed.clone(), cookie["header"].as_str().unwrap()).await;
    browser.subscribe(&hubs.browsers_url(TOPIC)).await;
    survives(&mut browser.driver, &mut hubs).await;

    let update = json!({ "publish": { "topics": [TOPIC], "data": "of Symfony", "private": true } });
    let published = application.ask(&update, "published").await;
    let seen = browser.driver.expect("event").await;
    assert_eq!(seen, event(published["id"].as_str().unwrap(), "message", "of Symfony"));
    browser.driver.end().await;
    application.end().await;
}

/// API Platform Admin sets the cookie in its script, and its selectors have `{+any}`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c07_a_page_that_sets_its_cookie_as_api_platform_admin_does() {
    let (mut browser, hubs) = start(Generation::Old).await;
    browser.visit(&browser.listed.clone(), "").await;
    let token = hubs.browsers_token(&["https://example.com/books/{+any}"]);
    let cookie = format!("mercureAuthorization={token}; Path={HUB_PATH}; Secure; SameSite=None");
    let options = json!({ "withCredentials": true });
    let url = hubs.browsers_url("https://example.com/{+any}");
    browser.subscribe_with(&url, &options, &json!({ "cookie": cookie })).await;
    browser.driver.expect("open").await;
    hubs.publish("https://example.com/authors/1", "not granted", &[]).await;
    let id = hubs.publish("https://example.com/books/1/reviews?page=2", "granted", &[]).await;
    assert_eq!(browser.driver.expect("event").await, event(&id, "message", "granted"));
    browser.driver.end().await;
}

/// A request that is refused for its credentials shows as what it is, not as a CORS failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_listed_origin_reads_a_401_and_its_reason() {
    let (mut browser, hubs) = start(Generation::New).await;
    let url = hubs.browsers_url(TOPIC);
    browser.visit(&browser.listed.clone(), "").await;
    let answer = browser.fetch(&url, &json!({})).await;
    assert_eq!(answer["status"], 401, "{answer}");
    let expired = hubs.browsers_hub().subscriber().expiring_in(-1.0).mint();
    let bearer = json!({ "headers": { "Authorization": format!("Bearer {expired}") } });
    let answer = browser.fetch(&url, &bearer).await;
    assert_eq!(answer["status"], 401, "{answer}");
    assert!(answer["text"].as_str().unwrap().lines().any(|line| line == "expired"), "{answer}");

    browser.visit(&browser.other.clone(), "").await;
    let answer = browser.fetch(&url, &json!({})).await;
    assert!(
        answer["error"].as_str().unwrap().starts_with("TypeError"),
        "an unlisted origin reads nothing: {answer}"
    );
    browser.driver.end().await;
}

/// The EventSource of a browser gives up on a status; it must say so instead of waiting for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a05_the_event_source_of_a_browser_ends_at_a_401() {
    let (mut browser, hubs) = start(Generation::New).await;
    browser.visit(&browser.listed.clone(), "").await;
    browser.subscribe(&hubs.browsers_url(TOPIC)).await;
    loop {
        let report = browser.driver.next_or_final().await;
        assert!(report.get("open").is_none(), "{report}");
        if report["failure"]["final"] == true {
            break;
        }
    }
    browser.driver.end().await;
}

/// A publisher's token for a page, in a cookie.
fn publishing_cookie(hub: &TestHub) -> String {
    cookie(Generation::New, &hub.publisher().detail(grant(&["publish"], &["*"])).mint())
}

fn form_post(body: &str) -> Value {
    json!({
        "method": "POST",
        "credentials": "include",
        "headers": { "Content-Type": "application/x-www-form-urlencoded" },
        "body": body,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_c06_a_page_publishes_by_cookie_from_listed_origins_only() {
    let (mut browser, hubs) = start(Generation::New).await;
    let mut stream = hubs.hub().subscribe(matching("a")).await;
    let url = format!("{}{HUB_PATH}", hubs.browsers_origin());
    let cookie = publishing_cookie(&hubs.browsers_hub());
    browser.visit(&browser.other.clone(), &cookie).await;
    let answer = browser.fetch(&url, &form_post("topic=a&data=forged")).await;
    assert!(
        answer["error"].is_string(),
        "it came without a preflight, and its answer is not for it: {answer}"
    );
    browser.visit(&browser.listed.clone(), &cookie).await;
    let answer = browser.fetch(&url, &form_post("topic=a&data=genuine")).await;
    assert_eq!(answer["status"], 200, "{answer}");
    let seen = stream.next().await;
    assert_eq!((seen.data.as_str(), seen.id.as_str()), ("genuine", answer["text"].as_str().unwrap()));
    browser.driver.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c06_p12_a_page_of_another_origin_reads_the_413_for_a_body_of_3_mib() {
    let (mut browser, hubs) = start(Generation::New).await;
    let url = format!("{}{HUB_PATH}", hubs.browsers_origin());
    browser.visit(&browser.listed.clone(), &publishing_cookie(&hubs.browsers_hub())).await;
    let mut command = json!({ "fetch": { "url": url, "options": form_post("topic=a") } });
    command["fetch"]["megabytes"] = TOO_MANY_MEGABYTES.into();
    for attempt in 0..3 {
        let answer = browser.driver.ask(&command, "fetched").await;
        assert_eq!(answer["status"], 413, "attempt {attempt}: {answer}");
        assert!(answer["text"].as_str().unwrap().contains("body_too_large"), "{answer}");
    }
    browser.driver.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c09_pages_of_the_hub_may_connect_to_it() {
    let (mut browser, hubs) = start(Generation::New).await;
    // The application's page sets the cookie, which is the hub's page's too: ports do not separate cookies.
    let token = hubs.browsers_token(&["a"]);
    browser.visit(&browser.listed.clone(), &cookie(Generation::New, &token)).await;
    for path in ["/", METADATA] {
        // A hub may have no page at its root.
        if path == "/" && hubs.hub().get(path).send().await.status != 200 {
            continue;
        }
        let page = json!({ "visit": { "url": format!("{}{path}", hubs.browsers_origin()) } });
        assert_eq!(browser.driver.ask(&page, "visited").await["status"], 200, "{path}");
        browser.subscribe(&format!("{HUB_PATH}?match=a")).await;
        browser.driver.expect("open").await;
        let id = hubs.publish("a", path, &[]).await;
        assert_eq!(browser.driver.expect("event").await, event(&id, "message", path));
    }
    browser.driver.end().await;
}
