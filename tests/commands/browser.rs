//! A headless browser, driven as a person would use it: by WebDriver (W3C), and Chromium's own protocol for what that
//! has not.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
pub const ENTER: &str = "\u{e007}";
pub const TAB: &str = "\u{e004}";

/// It ends when this is dropped.
pub struct Browser {
    driver: Child,
    /// Of the session.
    address: String,
    _profile: TempDir,
}

impl Browser {
    #[expect(
        clippy::disallowed_methods,
        reason = "the browser's driver is no program of the command's"
    )]
    pub fn start() -> Self {
        let mut driver = Command::new("chromedriver");
        let driver = driver.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let installed = "chromedriver starts: tools/setup installs it";
        let mut driver = driver.map_err(|why| format!("{why}, so not: {installed}")).unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_string())
        });
        // It tells more, and must find somebody who reads.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let at = format!("--user-data-dir={}", profile.path().display());
        // Tests run as root, where it has no sandbox, and ask nobody outside.
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1000,1100",
            &at,
        ];
        let wanted =
            json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": args}}}});
        let driver_address = format!("http://127.0.0.1:{}", port.unwrap());
        let session = call(&format!("{driver_address}/session"), &wanted);
        let address =
            format!("{driver_address}/session/{}", session["sessionId"].as_str().unwrap());
        Self { driver, address, _profile: profile }
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        call(&format!("{}/{what}", self.address), body)
    }

    /// Opens a file of this machine.
    pub fn open(&self, file: &Path) {
        self.post("url", &json!({"url": format!("file://{}", file.display())}));
    }

    /// What a function body returns in the page.
    pub fn evaluate(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// The text that is seen of the first element that a selector chooses.
    pub fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({}).innerText", json!(selector));
        self.evaluate(&script).as_str().unwrap().to_string()
    }

    /// Clicks it, where it is on the screen.
    pub fn click(&self, selector: &str) {
        let found = self.post("element", &json!({"using": "css selector", "value": selector}));
        let id = found[ELEMENT].as_str().unwrap();
        self.post(&format!("element/{id}/click"), &json!({}));
    }

    /// Chooses an option of a list, as a person does who types its beginning.
    pub fn choose(&self, selector: &str, option: &str) {
        let found = self.post("element", &json!({"using": "css selector", "value": selector}));
        let id = found[ELEMENT].as_str().unwrap();
        self.post(&format!("element/{id}/value"), &json!({"text": option}));
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub fn press(&self, keys: &str) {
        let actions = keys.chars().flat_map(|key| {
            let key = key.to_string();
            [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
        });
        let keyboard = json!({"type": "key", "id": "keys", "actions": actions.collect::<Vec<_>>()});
        self.post("actions", &json!({"actions": [keyboard]}));
    }

    /// A command of Chromium's own protocol.
    pub fn command(&self, name: &str, params: Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": name, "params": params}))
    }

    /// Role and name of everything that assistive technology is told of.
    pub fn accessible(&self) -> Vec<(String, String)> {
        self.command("Accessibility.enable", json!({}));
        let tree = self.command("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().unwrap().iter();
        let nodes = nodes.filter(|node| node["ignored"] == false).map(|node| {
            let text = |key: &str| node[key]["value"].as_str().unwrap_or_default().to_string();
            (text("role"), text("name"))
        });
        nodes.collect()
    }

    /// A picture of what is on the screen.
    pub fn screenshot(&self, file: &Path) {
        let response = ureq::get(format!("{}/screenshot", self.address)).call();
        let answer: Value = response.unwrap().body_mut().read_json().unwrap();
        let picture = STANDARD.decode(answer["value"].as_str().unwrap()).unwrap();
        std::fs::write(file, picture).unwrap();
    }
}

/// The value of the answer; a story fails with the driver's own words.
fn call(address: &str, body: &Value) -> Value {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.post(address).send_json(body).unwrap();
    let answer: Value = response.body_mut().with_config().limit(64 << 20).read_json().unwrap();
    assert!(response.status().is_success(), "{address}: {body}: {answer:#}");
    answer["value"].clone()
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Best effort: without its session the browser ends with its driver.
        let _ = ureq::delete(&self.address).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
