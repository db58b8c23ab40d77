//! The palette keeps its promise: every text can be read, every graphic be told from what is behind it.

use std::collections::BTreeMap;

const STYLE: &str = include_str!("../../../src/web/style.css");

/// The colours of a block of custom properties.
fn colours(block: &str) -> BTreeMap<String, [f64; 3]> {
    let lines = block.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
    lines
        .map(|(name, value)| {
            let digits = value.trim_end_matches(';');
            let part = |at: usize| {
                f64::from(u8::from_str_radix(digits.get(at..at + 2).unwrap(), 16).unwrap())
            };
            (name.to_owned(), [part(0), part(2), part(4)])
        })
        .collect()
}

/// As WCAG 2 reckons.
fn luminance(colour: [f64; 3]) -> f64 {
    let [red, green, blue] = colour.map(|part| {
        let part = part / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn the_palette_has_contrast_enough_in_both_themes() {
    let (light, rest) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let dark = rest.split_once("\n}\n").unwrap().0;
    let (light, dark) = (colours(light), colours(dark));
    assert_eq!(light.keys().collect::<Vec<_>>(), dark.keys().collect::<Vec<_>>());
    // Rows have these behind them; the last two are those of paused ones and of those in observe mode.
    let grounds = ["paper", "sheet", "grid", "hold-wash", "watch-wash"];
    let mut pairs: Vec<(&str, &str, f64)> = Vec::new();
    for text in ["ink", "soft", "link", "good", "wait", "warn", "bad", "watch", "hold"] {
        pairs.extend(grounds.map(|ground| (text, ground, 4.5)));
    }
    for state in ["good", "wait", "warn", "bad", "watch", "hold"] {
        let wash: &str = light.keys().find(|name| **name == format!("{state}-wash")).unwrap();
        pairs.extend([(state, wash, 4.5), ("ink", wash, 4.5)]);
    }
    for graphic in ["life", "older", "strange", "dead", "edge"] {
        pairs.extend(grounds.map(|ground| (graphic, ground, 3.0)));
    }
    // What is over against what is left.
    pairs.push(("life", "left", 3.0));
    pairs.push(("ink", "left", 3.0));
    for (theme, colours) in [("light", &light), ("dark", &dark)] {
        for (front, behind, least) in &pairs {
            let found = contrast(colours[*front], colours[*behind]);
            assert!(found >= *least, "{theme}: --{front} on --{behind} has {found:.2}");
        }
    }
    assert!((contrast([0.0; 3], [255.0; 3]) - 21.0).abs() < 0.001);
}

#[test]
fn colours_and_sizes_of_type_stand_in_one_place() {
    let rules = STYLE.split_once("*, *::before").unwrap().1;
    assert!(
        !rules.contains('#')
            || !rules
                .split('#')
                .skip(1)
                .any(|rest| { rest.chars().take(3).all(|c| c.is_ascii_hexdigit()) })
    );
    // Only `code` is sized by what is around it.
    for (_, size) in rules.lines().filter_map(|line| line.split_once("font-size: ")) {
        assert!(["var(--t-", "0.92em", "100%"].iter().any(|word| size.starts_with(word)), "{size}");
    }
    // Green is for what is healthy and nothing else.
    for line in rules.lines().filter(|line| line.contains("--good")) {
        let healthy = ["healthy", "good", "delivered"];
        assert!(healthy.iter().any(|word| line.contains(word)), "{line}");
    }
}
