//! Wrong usage, help, completions and the manual page.

use crate::support::{Place, run};

#[test]
fn wrong_usage_is_64() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["plan", "--frobnicate"],
        &["plan", "--config"],
        &["show"],
        &["apply", "--config", "x"],
        &["explain", "--config", "x"],
        &["completions"],
        &["completions", "cmd"],
        &["plan", "--config", "x", "--format", "pdf"],
        &["plan", "--config", "x", "--color", "sometimes"],
        &["plan", "--config", "x", "--log", "xml"],
        &["plan", "--config", "x", "--log-level", "loud"],
        &["sync", "--config", "x", "--format", "html"],
        &["apply", "p", "--config", "x", "--format", "ldif"],
        &["explain", "d", "--config", "x", "--format", "html"],
        &["apply", "p", "--config", "x", "--digest", "abc"],
        &["apply", "p", "--config", "x", "--override-limits"],
        &["man", "--format", "json"],
    ] {
        let said = run(arguments).expect(64);
        assert_eq!(said.out, "", "{arguments:?}");
        assert!(
            said.err.contains("Usage:") || said.err.contains("--help"),
            "{}",
            said.err
        );
    }
}

#[test]
fn a_time_that_is_none_is_wrong_usage() {
    let place = Place::new();
    for time in [
        "",
        "now",
        "2026-06-01",
        "2026-13-01T00:00:00Z",
        "1500-01-01T00:00:00Z",
    ] {
        let said = place.run_at(time, &["plan"]).expect(64);
        assert!(said.err.contains("--now <TIME>"), "{time}: {}", said.err);
    }
    // Without it the system's clock counts.
    let said = run(["plan", "-q", "--config", place.config().to_str().unwrap()]);
    assert!(matches!(said.code, 0 | 2 | 3), "{}", said.err);
}

#[test]
fn help_and_version_are_no_failure() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["help", "sync"],
        &["plan", "--help"],
        &["--version"],
    ] {
        let said = run(arguments).expect(0);
        assert_eq!(said.err, "", "{arguments:?}");
        assert!(said.out.contains("evice"), "{arguments:?}: {}", said.out);
    }
    let help = run(["--help"]).expect(0);
    for verb in [
        "plan",
        "show",
        "apply",
        "sync",
        "explain",
        "completions",
        "man",
    ] {
        assert!(help.out.contains(&format!("\n  {verb} ")), "{verb}");
    }
    assert!(help.out.contains("64  wrong usage"));
    assert_eq!(
        run(["--version"]).out,
        format!("device-writeback {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let said = run(["completions", shell]).expect(0);
        for word in [
            "device-writeback",
            "explain",
            "take-over",
            "override-limits",
        ] {
            assert!(said.out.contains(word), "{word} for {shell}");
        }
    }
}

#[test]
fn the_manual_page_has_every_verb() {
    let page = run(["man"]).expect(0).out;
    assert_eq!(page.matches(".TH ").count(), 1);
    for verb in [
        "PLAN",
        "SHOW",
        "APPLY",
        "SYNC",
        "EXPLAIN",
        "COMPLETIONS",
        "MAN",
    ] {
        assert!(
            page.contains(&format!(".SH \"DEVICE-WRITEBACK {verb}\"")),
            "{verb}"
        );
    }
    for piece in [
        ".SH NAME",
        ".SH \"EXIT STATUS\"",
        "override\\-limits",
        "take\\-over",
        "\\-\\-now",
    ] {
        assert!(page.contains(piece), "{piece}");
    }
}
