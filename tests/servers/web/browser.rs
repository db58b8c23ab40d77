//! The page in a real browser: what people see, reach with the keyboard, and are spared.

use serde_json::{Value, json};

use super::{chromium::Browser, sample, site::Stand};

/// Every text on the page against what is behind it, as WCAG 2 reckons; the worst few.
const CONTRASTS: &str = r#"(() => {
  const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
  const light = c => { const [r,g,b] = c.map(v => { v/=255; return v <= 0.04045 ? v/12.92 : ((v+0.055)/1.055)**2.4; }); return 0.2126*r+0.7152*g+0.0722*b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c.slice(0,3); } return [255,255,255]; };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest('.hidden') || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), svg = e instanceof SVGElement;
    const [a, b] = [light(rgb(svg ? style.fill : style.color).slice(0,3)), light(behind(e))];
    const ratio = (Math.max(a,b)+0.05)/(Math.min(a,b)+0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} <${e.tagName} class="${e.className}"> ${e.textContent.trim().slice(0,40)}`);
  }
  return found;
})()"#;

/// Every graphic that says something against what is behind it: its fill or its line; the worst few.
const GRAPHICS: &str = r#"(() => {
  const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
  const light = c => { const [r,g,b] = c.map(v => { v/=255; return v <= 0.04045 ? v/12.92 : ((v+0.055)/1.055)**2.4; }); return 0.2126*r+0.7152*g+0.0722*b; };
  const seen = c => c !== 'none' && rgb(c).length > 2 && (rgb(c).length === 3 || rgb(c)[3] > 0);
  const behind = e => { for (; e; e = e.parentElement) { if (e instanceof SVGElement) continue; const c = getComputedStyle(e).backgroundColor; if (seen(c)) return rgb(c).slice(0,3); } return [255,255,255]; };
  const found = new Set();
  // The lines of weeks are there to be seen through.
  for (const e of document.querySelectorAll('svg :is(use, rect, line:not(.week), circle)')) {
    if (e.closest('symbol') || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), back = light(behind(e));
    const drawn = (e.tagName === 'line' ? [style.stroke] : [style.fill, style.stroke]).filter(seen);
    const ratios = drawn.map(c => light(rgb(c).slice(0,3))).map(f => (Math.max(f,back)+0.05)/(Math.min(f,back)+0.05));
    const best = Math.max(0, ...ratios);
    if (best < 3) found.add(`${best.toFixed(2)} <${e.tagName} class="${e.getAttribute('class')}"> in ${e.closest('svg').getAttribute('class')}`);
  }
  return [...found].slice(0, 5);
})()"#;

const TOO_WIDE: &str = r#"(() => {
  const wide = document.documentElement.clientWidth;
  const found = [...document.querySelectorAll('body *')].filter(e =>
    !e.closest('.scroll, .hidden, .skip, svg') && e.getBoundingClientRect().right > wide + 1);
  const page = document.documentElement.scrollWidth;
  return { page, wide, found: found.slice(0, 5).map(e => e.outerHTML.slice(0, 120)) };
})()"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_it_in_every_window_size_without_errors() {
    let stand = Stand::of(&sample::gallery(), &[sample::left()]).await;
    stand.live.reloaded(super::site::now(), Err("2 errors in /etc/scimitar.toml".to_owned()));
    let url = stand.url("");
    // The browser's own calls have a limit; fetching it takes as long as it takes.
    tokio::task::spawn_blocking(move || look(&url)).await.unwrap();
}

fn look(url: &str) {
    let mut browser = Browser::start();
    for (name, width, scheme) in [
        ("phone-light", 360, "light"),
        ("phone-dark", 360, "dark"),
        ("desktop-light", 1280, "light"),
        ("desktop-dark", 1280, "dark"),
    ] {
        browser.window(width, 900, scheme);
        for (what, path) in [
            ("list", "/"),
            ("waiting", "/c/umbrella-entra"),
            ("failing", "/c/globex-okta"),
            ("blocked", "/c/stark-industries-production-eu-central"),
        ] {
            browser.open(&format!("{url}{path}"));
            browser.eval("document.querySelectorAll('details').forEach(d => d.open = true)");
            let widths = browser.eval(TOO_WIDE);
            assert_eq!(widths["found"], json!([]), "{what} {name}: {widths}");
            assert!(widths["page"].as_u64() <= widths["wide"].as_u64(), "{what} {name}: {widths}");
            assert_eq!(browser.eval(CONTRASTS), json!([]), "{what} {name}");
            assert_eq!(browser.eval(GRAPHICS), json!([]), "{what} {name}");
            structure(&mut browser);
            browser.picture(&format!("{what}-{name}"));
        }
    }
    let list = format!("{url}/");
    motion(&mut browser, &list);
    keyboard(&mut browser, &list);
    improved(&mut browser, &format!("{url}/c/globex-okta"));
    refreshed(&mut browser, url);
    without_script(&mut browser, url);
    assert_eq!(Vec::from(browser.complaints.clone()), [""; 0], "complaints of the browser");
}

/// The page glides to what a link leads to, but not for those who asked to be spared that; and it
/// has nothing else that moves.
fn motion(browser: &mut Browser, url: &str) {
    browser.window(1280, 400, "light");
    for (prefers, scrolls) in [("no-preference", "smooth"), ("reduce", "auto")] {
        browser.prefers("light", prefers);
        browser.open(url);
        let said = browser.eval("getComputedStyle(document.documentElement).scrollBehavior");
        assert_eq!(said, json!(scrolls), "{prefers}");
        // To the end of a page that is longer than the window: at once, or on the way there.
        let at_once = browser.eval(
            "(() => { document.querySelector('footer').scrollIntoView(); \
                      return scrollY > 0; })()",
        );
        assert_eq!(at_once, json!(scrolls == "auto"), "{prefers}");
        // Whatever may ever move, does not for them.
        let moves = browser.eval(
            "(() => { const e = document.createElement('i'); \
                      document.body.append(e); \
                      const rule = document.styleSheets[0]; \
                      const at = rule.insertRule('i { transition: all 9s; animation: a 9s }', 0); \
                      const s = getComputedStyle(e); \
                      const found = [s.transitionDuration, s.animationName]; \
                      rule.deleteRule(at); e.remove(); return found; })()",
        );
        let expected = if prefers == "reduce" { ["0s", "none"] } else { ["9s", "a"] };
        assert_eq!(moves, json!(expected), "{prefers}");
    }
}

/// From the top, with Tab alone.
fn keyboard(browser: &mut Browser, url: &str) {
    browser.window(1280, 900, "light");
    browser.open(url);
    let focused = "(() => { const e = document.activeElement, s = getComputedStyle(e); \
                    return { tag: e.tagName, text: e.textContent.trim().slice(0, 40), id: e.id, \
                    href: e.getAttribute('href'), \
                    seen: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, \
                    top: e.getBoundingClientRect().top }; })()";
    browser.press("Tab", 9);
    let skip = browser.eval(focused);
    assert_eq!(skip["text"], "Skip to content");
    assert!(skip["seen"] == json!(true) && skip["top"].as_f64() >= Some(0.0), "{skip}");
    let mut reached: Vec<Value> = Vec::new();
    loop {
        browser.press("Tab", 9);
        let at = browser.eval(focused);
        // Behind the last one the browser's own window comes.
        if at["tag"] == "BODY" {
            break;
        }
        assert_eq!(at["seen"], json!(true), "{at}");
        reached.push(at);
    }
    for tag in ["A", "SUMMARY", "INPUT", "SELECT", "BUTTON"] {
        assert!(reached.iter().any(|at| at["tag"] == tag), "{tag}: {reached:?}");
    }
    // What is looked for first comes first: what is wrong, then the filters, then the connections.
    let order = ["/?cause", "/?provider", "/?sink", "/?state", "q", "BUTTON", "/c/"];
    let places: Vec<_> = order
        .iter()
        .filter_map(|part| {
            reached.iter().rposition(|at| {
                let href = at["href"].as_str().unwrap_or_default();
                href.starts_with(part) || at["id"] == *part || at["tag"] == *part
            })
        })
        .collect();
    assert!(places.is_sorted() && places.len() == order.len(), "{places:?}: {reached:?}");
    // The link at the top leads past what is wrong.
    browser.open(url);
    browser.press("Tab", 9);
    browser.press("Enter", 13);
    browser.press("Tab", 9);
    let inside = browser.eval("document.activeElement.closest('#connections') !== null");
    assert_eq!(inside, json!(true));
    // Keys of the page's own script.
    browser.type_key("/");
    assert_eq!(browser.eval(focused)["id"], "q");
    browser.eval("document.activeElement.blur()");
    for expected in ["cyberdyne-okta", "globex-okta"] {
        browser.type_key("j");
        assert_eq!(browser.eval(focused)["text"], expected);
    }
    browser.type_key("k");
    assert_eq!(browser.eval(focused)["text"], "cyberdyne-okta");
    // Submitted once the answer to this call is on its way: a page that goes takes its calls with it.
    browser.eval(
        "document.getElementById('q').value = 'dbt'; setTimeout(() => document.forms[0].requestSubmit(), 100)",
    );
    browser.loaded();
    assert_eq!(browser.eval("location.search"), json!("?q=dbt"));
    assert_eq!(browser.eval(ROWS), json!(["warehouse-dbt"]));
}

/// The connections that are listed.
const ROWS: &str =
    "[...document.querySelectorAll('.rows tbody .c-name a')].map(e => e.textContent)";

/// What the script adds: the reader's own time, and buttons that copy.
fn improved(browser: &mut Browser, url: &str) {
    browser.zone("Asia/Tokyo");
    browser.open(url);
    let local = browser.eval("document.querySelector('.clock .local').textContent");
    assert_eq!(local, json!(" (13:00 local)"), "beside 04:00 UTC");
    let title = browser.eval("document.querySelector('.clock time').title");
    assert_eq!(title, json!("2026-11-22 04:00 UTC · 2026-11-22 13:00 local time"));
    let copies = browser.eval("document.querySelectorAll('.command button').length");
    assert_eq!(copies, browser.eval("document.querySelectorAll('.command code').length"));
    browser.zone("UTC");
    browser.open(url);
    assert_eq!(browser.eval("document.querySelectorAll('.local').length"), json!(0));
}

/// A page that refreshes stays where it was scrolled to, and what was unfolded stays so.
fn refreshed(browser: &mut Browser, url: &str) {
    browser.window(1280, 400, "light");
    browser.open(&format!("{url}/?refresh=5"));
    browser.eval("document.querySelector('.days details').open = true; scrollTo(0, 300)");
    browser.loaded();
    let found = "({ open: document.querySelector('.days details').open, at: scrollY })";
    let expected = json!({ "open": true, "at": 300 });
    // It is scrolled there once it is laid out, which may be a moment after it is loaded.
    let is_there = (0..1_000).any(|_| browser.eval(found) == expected);
    assert!(is_there, "{}", browser.eval(found));
}

/// All of it is there where no script runs, and a page that refreshes does so.
fn without_script(browser: &mut Browser, url: &str) {
    browser.scripts(false);
    browser.open(&format!("{url}/?state=failed&sort=name"));
    assert_eq!(browser.eval(ROWS), json!(["cyberdyne-okta", "globex-okta", "hooli-okta"]));
    assert_eq!(browser.eval("document.querySelectorAll('.command button').length"), json!(0));
    assert_eq!(browser.eval("document.querySelector('meta[http-equiv]')"), json!(null));
    browser.eval("(e => { e.focus(); e.value = 'hooli'; })(document.getElementById('q'))");
    browser.enter();
    assert_eq!(browser.eval(ROWS), json!(["hooli-okta"]), "the filter in force is kept");
    browser.open(&format!("{url}/c/hooli-okta?refresh=5"));
    browser.loaded();
    assert_eq!(
        browser.eval("document.querySelector('h1').firstChild.data.trim()"),
        json!("hooli-okta")
    );
    browser.scripts(true);
}

/// Landmarks, one heading of the first level, no level left out, names for everything that has one.
fn structure(browser: &mut Browser) {
    let found = browser.eval(
        "({ h1: document.querySelectorAll('h1').length, \
            landmarks: ['header', 'main', 'nav', 'footer'].filter(t => !document.querySelector(t)), \
            skipped: [...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1]) \
              .filter((level, i, all) => i && level > all[i-1] + 1).length, \
            unnamed: [...document.querySelectorAll('svg[role=img]:not([aria-label]), section:not([aria-labelledby]), input:not([type=hidden]):not([id])')].length, \
            ids: [...document.querySelectorAll('[id]')].length - new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size, \
            scripts: document.scripts.length, styled: document.querySelectorAll('[style]').length, \
            lang: document.documentElement.lang })",
    );
    let expected = json!({ "h1": 1, "landmarks": [], "skipped": 0, "unnamed": 0, "ids": 0,
        "scripts": 1, "styled": 0, "lang": "en" });
    assert_eq!(found, expected);
}
