//! The browser lab itself.

use device_writeback_tests::chromium;

const PAGE: &str = "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>t</title></head>\
    <body><p id=\"p\">Müller &lt;script&gt;</p></body></html>";

#[test]
fn chromium_harness_renders_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    std::fs::write(&page, PAGE).unwrap();

    let dom = chromium::dump_dom(&page).unwrap();
    assert!(
        dom.contains("<p id=\"p\">Müller &lt;script&gt;</p>"),
        "{dom}"
    );

    let picture = folder.path().join("page.png");
    chromium::screenshot(&page, &picture).unwrap();
    let image = std::fs::read(&picture).unwrap();
    // Width and height stand at a fixed place in a PNG's first chunk.
    assert_eq!(image.get(16..24).unwrap(), [0, 0, 5, 0, 0, 0, 6, 64]);
}
