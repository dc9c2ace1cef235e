//! A backend that uses the HTTP API, and clients that begin with long-polling: plain goose requests, timed by us as well.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use goose::goose::{GooseMethod, GooseRequest, GooseUser};
use reqwest::{RequestBuilder, redirect::Policy};

use crate::{figures::Measure, run::Run, schedule::Pace, tag::Tag};

pub struct Backend {
    run: Arc<Run>,
    number: u32,
    token: String,
    sent: AtomicU64,
}

/// What a request came to: its text, or why there is none.
type Answer = Result<String, String>;

/// Longer than this and there is no answer.
const ANSWER_MAX: std::time::Duration = std::time::Duration::from_secs(30);

impl Backend {
    pub fn new(run: &Arc<Run>, number: u32) -> Self {
        Self { run: Arc::clone(run), number, token: run.tokens.service(), sent: AtomicU64::new(0) }
    }

    /// A client that goes where it is sent by nobody but us.
    pub async fn prepare(run: &Run, user: &mut GooseUser) -> bool {
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().timeout(ANSWER_MAX);
        let client = client.resolve_to_addrs(run.places.name(), run.places.addresses());
        let client = client.tls_backend_preconfigured(run.tls.config().as_ref().clone());
        user.set_client_builder(client).await.is_ok()
    }

    /// Everything that is due between start and stop.
    pub async fn work(&self, user: &mut GooseUser, start_us: u64, stop_us: u64) {
        let Some(api) = &self.run.profile.api else { return };
        let mut pace = Pace::spread(start_us, u64::from(api.every_ms) * 1_000, self.number, api.users);
        while pace.next_us() < stop_us {
            tokio::time::sleep_until(self.run.moment(pace.next_us())).await;
            let now_us = self.run.now_us();
            // What comes behind a slow answer is due when it is due.
            while let Some(due_us) = pace.take(now_us) {
                self.round(user, due_us).await;
            }
        }
    }

    async fn round(&self, user: &mut GooseUser, due_us: u64) {
        let room = format!("load:{:x}.api{}", self.run.id, self.number);
        let number = self.sent.fetch_add(1, Ordering::Relaxed) as u32 + 1;
        let tag = Tag { run: self.run.id, sender: self.number, number, due_us };
        let body =
            format!("{{\"from\":\"backend\",\"id\":\"b{}\",\"body\":{}}}", tag.message_id(), tag.body(128));
        let path = format!("/api/v1/rooms/{room}/messages");
        self.ask(user, Measure::Publish, &GooseMethod::Post, &path, Some(body), due_us).await;
        for (measure, path) in [
            (Measure::History, format!("{path}?limit=20")),
            (Measure::Presence, format!("/api/v1/rooms/{room}/presence")),
        ] {
            self.ask(user, measure, &GooseMethod::Get, &path, None, self.run.now_us()).await;
        }
        self.poll(user).await;
    }

    async fn ask(
        &self,
        user: &mut GooseUser,
        measure: Measure,
        method: &GooseMethod,
        path: &str,
        body: Option<String>,
        due_us: u64,
    ) {
        let answer = self.request(user, measure.name(), method, path, body).await;
        self.done(measure, due_us, answer.map(drop));
    }

    /// The first requests of a stock client: open, enter, and the answer to that.
    async fn poll(&self, user: &mut GooseUser) {
        let begun_us = self.run.now_us();
        let done = self.shake_hands(user).await;
        self.done(Measure::Poll, begun_us, done);
    }

    async fn shake_hands(&self, user: &mut GooseUser) -> Result<(), String> {
        let open = "/socket.io/?EIO=4&transport=polling";
        let text = self.request(user, "poll open", &GooseMethod::Get, open, None).await?;
        let opened: serde_json::Value =
            text.strip_prefix('0').and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let sid = opened["sid"].as_str().ok_or("no session in the answer")?;
        let path = format!("{open}&sid={sid}");
        let token = self.run.tokens.user(&format!("load-{:x}-api{}", self.run.id, self.number));
        let enter = format!("40{}", serde_json::json!({ "token": token }));
        self.request(user, "poll enter", &GooseMethod::Post, &path, Some(enter)).await?;
        let text = self.request(user, "poll answer", &GooseMethod::Get, &path, None).await?;
        if !text.starts_with("40") {
            return Err("not let in".to_owned());
        }
        self.request(user, "poll leave", &GooseMethod::Post, &path, Some("41".to_owned())).await.map(drop)
    }

    async fn request(
        &self,
        user: &mut GooseUser,
        name: &str,
        method: &GooseMethod,
        path: &str,
        body: Option<String>,
    ) -> Answer {
        let builder: RequestBuilder =
            user.get_request_builder(method, path).map_err(|error| error.to_string())?;
        let mut builder = builder.bearer_auth(&self.token);
        if let Some(body) = body {
            let form = if path.starts_with("/api") { "application/json" } else { "text/plain;charset=UTF-8" };
            builder = builder.header("content-type", form).body(body);
        }
        let request = GooseRequest::builder().set_request_builder(builder).name(name).build();
        let response = user.request(request).await.map_err(|error| error.to_string())?;
        let response = response.response.map_err(|_| "no answer".to_owned())?;
        let status = response.status();
        let text = response.text().await.map_err(|_| "half an answer".to_owned())?;
        match status.as_u16() {
            200..300 => Ok(text),
            status @ (401 | 403) => {
                Err(format!("status {status}: the token does not grant this (--jwt-secret, --token)"))
            }
            status => Err(format!("status {status}")),
        }
    }

    fn done(&self, measure: Measure, due_us: u64, result: Result<(), String>) {
        match result {
            Ok(()) => self.run.record(self.number, measure, self.run.now_us().saturating_sub(due_us)),
            Err(why) => self.run.failed(self.number, measure, &why),
        }
    }
}
