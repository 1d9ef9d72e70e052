//! A browser whose buttons tests press: headless Chromium, through its `WebDriver`.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::error::NewSessionError;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::until;
use super::worker::free_port;

/// Debian's packages are chromium and chromium-driver.
const CHROMIUM: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";
/// For a start, and for anything that is waited for, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_mins(1);

/// A session with a profile of its own. The browser ends when this is dropped.
pub struct Browser {
    client: Client,
    driver: Driver,
}

struct Driver {
    process: Child,
    port: u16,
    profile: TempDir,
}

impl Browser {
    /// None, and a word about it, where no Chromium is installed.
    #[expect(clippy::print_stderr, reason = "that is where a test's output is looked for")]
    pub async fn start() -> Option<Self> {
        if ![CHROMIUM, DRIVER]
            .iter()
            .all(|program| Path::new(program).exists())
        {
            eprintln!("NOT TESTED: there is no {CHROMIUM} with {DRIVER} here");
            return None;
        }
        let driver = Driver::start();
        let client = until("a browser", LIMIT, async || {
            // Until it listens there is none.
            driver.session().await.ok()
        });
        let client = client.await;
        Some(Self { client, driver })
    }

    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// What a script returns.
    pub async fn eval(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Waits until an expression is true, and gives what it is.
    pub async fn wait(&self, what: &str, expression: &str) -> Value {
        let begun = Instant::now();
        loop {
            let seen = self.eval(&format!("return {expression}")).await;
            if !matches!(&seen, Value::Null | Value::Bool(false)) {
                return seen;
            }
            if begun.elapsed() > LIMIT {
                let text = self.text("body").await;
                panic!("not within {LIMIT:?}: {what}. The page says:\n{text}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the first of these has such a text in it.
    pub async fn wait_text(&self, css: &str, text: &str) {
        let (css, text) = (json!(css), json!(text));
        let expression = format!("document.querySelector({css})?.textContent.includes({text}) ?? false");
        self.wait(&format!("{text} in {css}"), &expression).await;
    }

    /// What people read in the first of these; empty where there is none.
    pub async fn text(&self, css: &str) -> String {
        let script = format!("return document.querySelector({})?.innerText ?? ''", json!(css));
        self.eval(&script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks on the first of these, as soon as that is possible.
    pub async fn press(&self, css: &str) {
        self.click(Locator::Css(css), css).await;
    }

    /// The same for a button or link by its words.
    pub async fn press_words(&self, words: &str) {
        let path = format!("//*[self::button or self::a][normalize-space()='{words}']");
        self.click(Locator::XPath(&path), words).await;
    }

    async fn click(&self, place: Locator<'_>, what: &str) {
        until(&format!("a click on {what}"), LIMIT, async || {
            let element = self.client.find(place).await.ok()?;
            element.click().await.ok()
        })
        .await;
    }

    /// Types into the first of these.
    pub async fn write(&self, css: &str, text: &str) {
        until(&format!("writing into {css}"), LIMIT, async || {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            element.send_keys(text).await.ok()
        })
        .await;
    }

    /// What a script returns inside of a frame.
    pub async fn eval_in_frame(&self, index: u16, script: &str) -> Value {
        self.client.enter_frame(index).await.unwrap();
        let seen = self.eval(script).await;
        self.client.enter_parent_frame().await.unwrap();
        seen
    }

    /// What stands in the console since the last look: errors, and what the policy forbade.
    pub async fn complaints(&self) -> Vec<String> {
        let session = self.client.session_id().await.unwrap().unwrap();
        let url = format!("http://127.0.0.1:{}/session/{session}/se/log", self.driver.port);
        let request = reqwest::Client::new().post(url).json(&json!({"type": "browser"}));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let entries = answer["value"].as_array().unwrap().iter();
        let loud = entries.filter(|entry| entry["level"] == "SEVERE" || entry["source"] == "security");
        loud.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Ends it in order.
    pub async fn close(self) {
        self.client.close().await.unwrap();
    }
}

impl Driver {
    fn start() -> Self {
        let port = free_port();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", DRIVER, &format!("--port={port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let profile = TempDir::new().unwrap();
        Self {
            process,
            port,
            profile,
        }
    }

    async fn session(&self) -> Result<Client, NewSessionError> {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--window-size=1440,1000",
            profile.as_str(),
        ];
        let mut wishes = Map::new();
        wishes.insert("browserName".into(), json!("chrome"));
        wishes.insert(
            "goog:chromeOptions".into(),
            json!({"binary": CHROMIUM, "args": arguments}),
        );
        wishes.insert("goog:loggingPrefs".into(), json!({"browser": "ALL"}));
        ClientBuilder::new(HttpConnector::new())
            .capabilities(wishes)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // A browser outlives a driver that is killed. Its profile tells whose it is.
        let profile = self.profile.path().to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
            if is_number && String::from_utf8_lossy(&command).contains(&profile) {
                let _ = Command::new("kill").args(["-s", "KILL", &name]).status();
            }
        }
    }
}
