//! Commands that messages offer work as they are printed.

use std::fs;

use crate::support::{NOW, Place, Said, command};

/// The command that `text` offers, as a shell would split it.
fn offered(text: &str) -> Vec<String> {
    let line = text
        .lines()
        .find(|line| line.contains(": device-writeback "))
        .unwrap_or_else(|| panic!("nothing is offered: {text}"));
    let (_, arguments) = line.split_once(": device-writeback ").unwrap();
    let mut words = Vec::new();
    for (index, piece) in arguments.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(piece.to_owned());
        } else {
            words.extend(piece.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn follow(place: &Place, text: &str) -> Said {
    command()
        .current_dir(place.path("."))
        .args(offered(text))
        .output()
        .unwrap()
        .into()
}

#[test]
fn a_saved_plan_is_applied_as_offered() {
    let place = Place::new();
    let config = place.changed_config("my config.toml", &[]);
    let file = place.path("my plan.json");
    let said = place
        .run_with(&config, NOW, &["plan", "--out", file.to_str().unwrap()])
        .expect(2);
    let done = follow(&place, &said.out).expect(0);
    assert!(done.out.starts_with("48 of 48"), "{}", done.out);
}

#[test]
fn a_limit_is_exceeded_as_offered() {
    let tight = [("max_retirements = 500", "max_retirements = 1")];
    for verb in ["sync", "plan"] {
        let place = Place::new();
        let config = place.changed_config("tight.toml", &tight);
        let said = place.run_with(&config, NOW, &[verb, "--take-over"]);
        let (text, code) = if verb == "sync" {
            (said.err, 3)
        } else {
            (said.out, 2)
        };
        assert_eq!(said.code, code, "{text}");
        assert!(offered(&text).contains(&"--take-over".to_owned()), "{text}");
        let saved = follow(&place, &text).expect(2);
        assert!(place.path("plan.json").exists());
        let done = follow(&place, &saved.out).expect(0);
        assert!(
            done.err.contains("exceeding the limits as asked"),
            "{}",
            done.err
        );
    }
}

#[test]
fn nobody_is_told_to_override_what_is_empty() {
    let place = Place::new();
    fs::write(place.quickstart().join("none.json"), r#"{"value":[]}"#).unwrap();
    let source = place.changed_config("source.toml", &[(r#""devices" "#, r#""none.json" "#)]);
    let scope = place.changed_config(
        "scope.toml",
        &[(
            "[rules]\n",
            "[rules]\ninclude_devices = [\"00000000-0000-4000-8000-000000000001\"]\n",
        )],
    );
    for (config, code) in [(source, "empty_source"), (scope, "empty_scope")] {
        let file = place.path(&format!("{code}.json"));
        let file = file.to_str().unwrap();
        let texts = [
            place.run_with(&config, NOW, &["sync"]).expect(3).err,
            place.run_with(&config, NOW, &["plan"]).out,
            place.run_with(&config, NOW, &["plan", "--out", file]).out,
            place.run_with(&config, NOW, &["apply", file]).expect(3).err,
        ];
        for text in texts {
            assert!(text.contains(&format!("refused ({code})")), "{text}");
            assert!(!text.contains("override"), "{text}");
        }
    }
    assert!(place.is_untouched());
}
