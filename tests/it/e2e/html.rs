//! A plan as a page, looked at with a browser: nothing of an attacker's runs, the filter works.

use std::fs;
use std::path::{Path, PathBuf};

use device_writeback_tests::chromium;
use serde_json::json;

use crate::product;

/// Set on the root element by every hostile name that manages to run.
const MARKER: &str = "data-owned";
const CHANGES: usize = 2_500;

/// Names that would run if they were not only text.
fn hostile_names() -> Vec<String> {
    let run = format!("document.documentElement.setAttribute('{MARKER}','1')");
    vec![
        format!("<script>{run}</script>"),
        format!("</td><script>{run}</script>"),
        format!("<img src=x onerror=\"{run}\">"),
        format!("\"><svg onload={run}>"),
        format!("' onmouseover='{run}' autofocus onfocus='{run}"),
        format!("--></script><script>{run}</script>"),
        format!("<iframe srcdoc=\"<script>parent.{run}</script>\">"),
        "<style>body{display:none}</style>".to_owned(),
        "<base href=https://example.invalid/>".to_owned(),
        "<meta http-equiv=refresh content=0;url=https://example.invalid/>".to_owned(),
        "</title></style></table></main><h1>Approved</h1>".to_owned(),
        "&lt;script&gt;".to_owned(),
        "{{7*7}} ${7*7} \u{202e}gnp.exe".to_owned(),
    ]
}

/// The quickstart's plan as a page in `folder`.
fn quickstart_page(folder: &Path) -> PathBuf {
    let config = product::quickstart(folder);
    let page = folder.join("plan.html");
    let arguments = ["plan", "--format", "html", "--out", page.to_str().unwrap()];
    product::run(folder, &config, arguments).expect(2);
    page
}

/// A plan with so many new devices that the page does not show them all; the hostile names first.
fn large_page(folder: &Path) -> PathBuf {
    let names = hostile_names();
    let devices: Vec<_> = (0..CHANGES)
        .map(|number| {
            let name = names
                .get(number)
                .cloned()
                .unwrap_or_else(|| format!("DEVICE-{number:04}"));
            // The alternative id in Graph's form: UTF-16LE in base64.
            let digest = format!("{number:040X}");
            let key = format!("X509:<SHA1-TP-PUBKEY>{digest}{}=", "A".repeat(43));
            let octets: Vec<u8> = key.encode_utf16().flat_map(u16::to_le_bytes).collect();
            json!({
                "id": format!("00000000-0000-4000-b000-{number:012}"),
                "deviceId": format!("00000000-0000-4000-a000-{number:012}"),
                "displayName": name,
                "accountEnabled": true,
                "operatingSystem": "Windows",
                "operatingSystemVersion": "10.0.26100.4061",
                "trustType": "AzureAd",
                "alternativeSecurityIds": [{"type": 2, "identityProvider": null, "key": base64(&octets)}],
            })
        })
        .collect();
    let source = folder.join("devices.json");
    fs::write(&source, json!({ "value": devices }).to_string()).unwrap();
    let config = folder.join("config.toml");
    let text = "tenant_id = \"6babcaad-604b-40ac-a9d7-9fd97c0b779f\"\n\
        [source]\nkind = \"file\"\npath = \"devices.json\"\n\
        [directory]\nkind = \"ldif\"\npath = \"directory.ldif\"\nbase = \"DC=contoso,DC=com\"\n";
    fs::write(&config, text).unwrap();
    let page = folder.join("plan.html");
    let arguments = ["plan", "--format", "html", "--out", page.to_str().unwrap()];
    product::run(folder, &config, arguments).expect(2);
    page
}

/// [RFC 4648] 4.
fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in octets.chunks(3) {
        let group = chunk
            .iter()
            .chain([&0, &0])
            .take(3)
            .fold(0_usize, |bits, octet| bits << 8 | usize::from(*octet));
        for place in 0..4 {
            let letter = ALPHABET[group >> (18 - 6 * place) & 63];
            text.push(if place > chunk.len() {
                '='
            } else {
                letter.into()
            });
        }
    }
    text
}

/// The page with something else in it, as another file; the policy may be taken out for a driver.
fn variant(page: &Path, name: &str, with_policy: bool, script: &str) -> PathBuf {
    let mut text = fs::read_to_string(page).unwrap();
    assert!(text.contains("<meta http-equiv=\"Content-Security-Policy\""));
    if !with_policy {
        text = text.replace("http-equiv=\"Content-Security-Policy\"", "name=\"policy\"");
    }
    text = text.replace("</body>", &format!("{script}</body>"));
    let path = page.with_file_name(name);
    fs::write(&path, text).unwrap();
    path
}

fn count(text: &str, piece: &str) -> usize {
    text.matches(piece).count()
}

/// The number that the page's own script shows beside the filter.
fn shown(dom: &str) -> String {
    let start = dom
        .find("<output name=\"count\"")
        .expect("the page has a filter");
    let (_, rest) = dom[start..].split_once('>').unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

#[test]
fn the_quickstart_plan_is_a_page_that_a_browser_shows() {
    let folder = tempfile::tempdir().unwrap();
    let page = quickstart_page(folder.path());
    let pictures = product::root().join("target/pictures");
    fs::create_dir_all(&pictures).unwrap();
    chromium::screenshot(&page, &pictures.join("quickstart-plan.png")).unwrap();

    let dom = chromium::dump_dom(&page).unwrap();
    assert_eq!(count(&dom, "<tbody class=\"change\""), 48);
    // The script ran: it shows the filter and counts.
    assert!(dom.contains("<form id=\"filter\">"), "the filter is hidden");
    assert_eq!(shown(&dom), "48 of 48 rows shown");
    // The one of the page, none of a name.
    assert_eq!(count(&dom, "<script"), 1);
    assert!(dom.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(
        !dom.contains("<caption>Showing the first"),
        "nothing is left out"
    );
    assert!(dom.contains("default-src 'none'"));
    for heading in ["Held (6)", "Conflicts (7)", "Skipped (11)"] {
        assert!(dom.contains(heading), "{heading}");
    }
    // Nothing is fetched from anywhere.
    for piece in [" src=", " href=", "url(", "@import"] {
        assert!(!dom.contains(piece), "{piece}");
    }
}

#[test]
fn hostile_names_stay_text_and_the_row_cap_is_stated() {
    let folder = tempfile::tempdir().unwrap();
    let page = large_page(folder.path());
    let dom = chromium::dump_dom(&page).unwrap();
    let root = dom.find("<html").map(|at| &dom[at..]).unwrap();
    let (root, _) = root.split_once('>').unwrap();
    assert!(!root.contains(MARKER), "a name ran");
    assert_eq!(count(&dom, "<script"), 1);
    for element in [
        "<img",
        "<svg",
        "<iframe",
        "<base",
        "http-equiv=\"refresh",
        "<h1>Approved",
    ] {
        assert!(!dom.contains(element), "{element}");
    }
    assert_eq!(count(&dom, "<style"), 1);
    assert!(dom.contains("&lt;/title&gt;"), "the name is there as text");
    assert!(dom.contains("&amp;lt;script&amp;gt;"), "escaped once more");

    let sentence = "Showing the first 2,000 of 2,500 changes; the JSON document has all.";
    assert_eq!(count(&dom, sentence), 1);
    assert_eq!(count(&dom, "<tbody class=\"change\""), 2_000);
    assert_eq!(shown(&dom), "2,000 of 2,000 rows shown");
}

#[test]
fn the_policy_stops_a_script_that_got_in() {
    let folder = tempfile::tempdir().unwrap();
    let page = quickstart_page(folder.path());
    let intruder = format!(
        "<script>document.documentElement.setAttribute('{MARKER}','1')</script>\
         <p onclick=\"document.documentElement.setAttribute('{MARKER}','1')\" id=\"p\"></p>"
    );
    let marked = format!("{MARKER}=\"1\"");

    let guarded = variant(&page, "guarded.html", true, &intruder);
    assert!(!chromium::dump_dom(&guarded).unwrap().contains(&marked));
    // The same without the policy does run: it is the policy that stops it.
    let open = variant(&page, "open.html", false, &intruder);
    assert!(chromium::dump_dom(&open).unwrap().contains(&marked));
}

#[test]
fn the_filter_shows_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let page = quickstart_page(folder.path());
    let drive = |name: &str, deed: &str| {
        let driver = format!(
            "<script>{{ const form = document.getElementById('filter'); {deed}; \
             form.dispatchEvent(new Event('input', {{ bubbles: true }})); }}</script>"
        );
        chromium::dump_dom(&variant(&page, name, false, &driver)).unwrap()
    };
    let hidden = |dom: &str| {
        dom.split("<tbody class=\"change\"")
            .skip(1)
            .filter(|rest| rest.split_once('>').unwrap().0.contains("hidden"))
            .count()
    };

    let deletes = drive("action.html", "form.elements.action.value = 'delete'");
    assert_eq!(
        (shown(&deletes).as_str(), hidden(&deletes)),
        ("4 of 48 rows shown", 44)
    );

    let reason = "form.elements.reason.value = 'soft_deleted'";
    let soft_deleted = drive("reason.html", reason);
    let (some, rest) = shown(&soft_deleted)
        .split_once(" of ")
        .map(|(some, rest)| (some.parse::<usize>().unwrap(), rest.to_owned()))
        .unwrap();
    assert!(
        (1..=4).contains(&some) && rest == "48 rows shown",
        "{some} of {rest}"
    );

    let words = "form.elements.words.value = 'ALERT(1) script'";
    assert_eq!(shown(&drive("words.html", words)), "1 of 48 rows shown");

    let nothing = drive(
        "nothing.html",
        "form.elements.words.value = 'no such device'",
    );
    assert_eq!(
        (shown(&nothing).as_str(), hidden(&nothing)),
        ("0 of 48 rows shown", 48)
    );

    let open = drive("expand.html", "form.elements.expand.click()");
    assert_eq!(count(&open, "<details open=\"\">"), 48);
}
