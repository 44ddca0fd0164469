//! Looks at HTML with headless Chromium: a picture of it, and the DOM it became.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::LabError;
use crate::lab::run_to_success;

/// Time for one page. Generous: a first start on a busy machine takes many seconds.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The window a page is rendered in, in CSS pixels.
const WINDOW: (u32, u32) = (1280, 1600);

/// A picture of an HTML file, written as PNG to `png`.
///
/// # Errors
///
/// When Chromium is missing, fails, hangs, or leaves no PNG.
pub fn screenshot(html: &Path, png: &Path) -> Result<(), LabError> {
    let (width, height) = WINDOW;
    let picture = std::path::absolute(png).map_err(LabError::file("find the PNG's folder"))?;
    browse(
        html,
        &[
            &format!("--screenshot={}", picture.display()),
            &format!("--window-size={width},{height}"),
            "--hide-scrollbars",
        ],
    )?;
    let image = std::fs::read(&picture).map_err(LabError::file(format!(
        "read the picture {}",
        picture.display()
    )))?;
    if image.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(());
    }
    Err(LabError::Output {
        program: "chromium".to_owned(),
        detail: "not a PNG".to_owned(),
    })
}

/// The DOM of an HTML file after it was loaded, serialised as HTML.
///
/// # Errors
///
/// When Chromium is missing, fails or hangs, or when the DOM is not UTF-8.
pub fn dump_dom(html: &Path) -> Result<String, LabError> {
    String::from_utf8(browse(html, &["--dump-dom"])?).map_err(|e| LabError::Output {
        program: "chromium".to_owned(),
        detail: e.to_string(),
    })
}

/// Opens one local file in a fresh profile that talks to nobody.
fn browse(html: &Path, arguments: &[&str]) -> Result<Vec<u8>, LabError> {
    let page = std::path::absolute(html).map_err(LabError::file("find the page"))?;
    let profile = TempDir::new().map_err(LabError::file("create a browser profile"))?;
    let mut command = Command::new("chromium");
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args([
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()));
    run_to_success(&mut command, b"", profile.path(), TIMEOUT)
}
