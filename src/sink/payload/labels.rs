//! What a delivery says of itself beside the value, where the service has a place for that: tags, labels,
//! metadata. They are for people and their tools. Scimitar believes none of them, so that one which is
//! old or missing harms nobody, and the token's value never reaches a template of one.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::Value;
use serde::{Deserialize, Serialize};

use super::{
    FIELDS, TOKEN, plain_fields,
    template::{context, rendered, sample_fields, with},
};
use crate::{
    clock::parse_timestamp,
    error::{Class, Code, Fault},
    sink::Delivery,
    table::shown,
    template::{environment, names, unknown_name, unusable},
};

/// Who is asked about the connection.
const OWNER: &str = "owner";

/// Times as a day and as seconds since 1970: many services take no colon in a label.
const TIMES: [(&str, &str, &str); 2] =
    [("created_at", "created_on", "created_unix"), ("expires_at", "expires_on", "expires_unix")];

/// How keys begin that Scimitar keeps for itself.
const OURS: &str = "scimitar";

/// What a service takes.
pub(in crate::sink) struct Limits {
    /// What they are called there, and in a `deliver_to` entry.
    pub(in crate::sink) key: &'static str,
    /// The most that one entry may name.
    pub(in crate::sink) most: usize,
    /// Keys that Scimitar writes itself.
    pub(in crate::sink) reserved: &'static [&'static str],
    /// Why a text cannot be a key, in words that fit behind it.
    pub(in crate::sink) check_key: fn(&str) -> Result<(), &'static str>,
    /// Why a text that is not empty cannot be a value, in words that fit behind it.
    pub(in crate::sink) check_value: fn(&str) -> Result<(), &'static str>,
    /// How a value is made to fit.
    pub(in crate::sink) way_out: &'static str,
}

/// What is known of a connection before it has a token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Its name.
    pub connection: Option<&'a str>,
    /// Its id.
    pub connection_id: Option<&'a str>,
    /// Its provider.
    pub provider: Option<&'a str>,
    /// Its owner.
    pub owner: Option<&'a str>,
}

/// What is wrong with the template of one.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sink) struct Unfit {
    pub(in crate::sink) message: String,
    pub(in crate::sink) way_out: String,
}

/// The templates by their keys, as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

/// What the templates come to for one delivery.
#[derive(Debug, Default)]
pub(in crate::sink) struct Said {
    /// What is to stand there.
    pub(in crate::sink) put: BTreeMap<String, String>,
    /// What is to stand there no more: it has nothing to say, or cannot be said there.
    pub(in crate::sink) gone: BTreeSet<String>,
    /// What cannot be said there, in words.
    pub(in crate::sink) unfit: Vec<String>,
}

impl FromIterator<(String, String)> for Labels {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(templates: T) -> Self {
        Self(templates.into_iter().collect())
    }
}

impl Limits {
    /// Why a text cannot be a key of a delivery, and the way out.
    pub(in crate::sink) fn check_key(&self, key: &str) -> Result<(), Unfit> {
        let behind = key.get(OURS.len()..).unwrap_or("x");
        let ours = key.get(..OURS.len()).is_some_and(|head| head.eq_ignore_ascii_case(OURS))
            && !behind.starts_with(char::is_alphanumeric);
        let unfit = |words: &str| {
            Err(Unfit {
                message: format!("`{}`: the key \"{}\" {words}", self.key, shown(key)),
                way_out: "choose another key".to_owned(),
            })
        };
        if ours || self.reserved.contains(&key) {
            return unfit("is reserved for Scimitar");
        }
        (self.check_key)(key).or_else(unfit)
    }

    /// Why a template cannot be that of a key: tried out with what is known of the connection.
    pub(in crate::sink) fn check_template(
        &self,
        key: &str,
        text: &str,
        known: &Known<'_>,
    ) -> Result<(), Unfit> {
        let unfit = |words: String, way_out: &str| Unfit {
            message: format!("`{}`: \"{}\": {words}", self.key, shown(key)),
            way_out: way_out.to_owned(),
        };
        let broken = |problem: &minijinja::Error| {
            let words = unusable(problem, "each name stands for plain text, which has no parts");
            unfit(words, "write a template such as \"{{ connection }}\"")
        };
        let environment = environment();
        let used = names(&environment, text, false).map_err(|problem| broken(&problem))?;
        let all = all_names();
        for name in &used {
            if name == TOKEN {
                let words = "the token's value must not be in metadata, which more people can read than the \
                             secret";
                let way_out = "remove {{ token }}; {{ token_id }} identifies the token";
                return Err(unfit(words.to_owned(), way_out));
            }
            if !all.contains(&name.as_str()) {
                return Err(unfit(unknown_name(name, &all), "use one of the known names"));
            }
            if name == OWNER && known.owner.is_none() {
                let words = "the connection has no owner".to_owned();
                let way_out = "write owner = \"identity team\" in the connection or in [defaults]";
                return Err(unfit(words, way_out));
            }
        }
        for (generation, mut fields) in sample_fields() {
            let facts = [
                ("connection", known.connection),
                ("connection_id", known.connection_id),
                ("provider", known.provider),
            ];
            fields.extend(facts.into_iter().filter_map(|(name, text)| Some((name, text?.into()))));
            let context = all_of(fields, generation, known.owner);
            let value =
                rendered(&environment, text, &context).map_err(|problem| broken(&problem))?;
            if let Err(words) = self.check_value(&value) {
                let time = TIMES.iter().find(|(at, ..)| used.contains(*at));
                let way_out = time.map(|(_, on, unix)| {
                    format!("use {{{{ {on} }}}}, a day such as 2026-12-22, or {{{{ {unix} }}}}, seconds since 1970")
                });
                return Err(unfit(words, way_out.as_deref().unwrap_or(self.way_out)));
            }
        }
        Ok(())
    }

    /// Why a value does not fit, in words that quote it.
    fn check_value(&self, value: &str) -> Result<(), String> {
        let fits = if value.is_empty() { Ok(()) } else { (self.check_value)(value) };
        fits.map_err(|words| format!("the value \"{}\" {words}", shown(value)))
    }
}

impl Labels {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they come to. One that has nothing to say, such as the end of a token that does not expire,
    /// is taken away.
    pub(in crate::sink) fn said(&self, delivery: &Delivery, limits: &Limits) -> Said {
        let environment = environment();
        let generation = delivery.marks.generation;
        let context = all_of(plain_fields(delivery), generation, delivery.owner.as_deref());
        let mut said = Said::default();
        for (key, text) in &self.0 {
            let value = rendered(&environment, text, &context)
                .map_err(|problem| {
                    unusable(&problem, "each name stands for plain text, which has no parts")
                })
                .and_then(|value| limits.check_value(&value).map(|()| value));
            match value {
                Ok(value) if !value.is_empty() => {
                    said.put.insert(key.clone(), value);
                    continue;
                }
                Ok(_) => {}
                Err(words) => said.unfit.push(format!("\"{}\": {words}", shown(key))),
            }
            said.gone.insert(key.clone());
        }
        said
    }
}

impl Said {
    /// What is there, with these in it; nothing of others is touched.
    pub(in crate::sink) fn within(
        &self,
        there: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let mut all = there.clone();
        all.retain(|key, _| !self.gone.contains(key));
        all.extend(self.put.clone());
        all
    }

    /// Those that do not stand there as they are to.
    pub(in crate::sink) fn new_in(
        &self,
        there: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let put = self.put.iter().filter(|(key, value)| there.get(*key) != Some(value));
        put.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Those that are to go and are there.
    pub(in crate::sink) fn gone_from(&self, there: &BTreeMap<String, String>) -> Vec<String> {
        self.gone.iter().filter(|key| there.contains_key(*key)).cloned().collect()
    }

    /// Tells what could not be said there.
    pub(in crate::sink) fn all_fit(&self, operation: &str, limits: &Limits) -> Result<(), Fault> {
        if self.unfit.is_empty() {
            return Ok(());
        }
        let words = format!("{}; {}", self.unfit.join("; "), limits.way_out);
        Err(Fault::new(operation, Class::Terminal, Code::Invalid, words))
    }
}

/// All that a template may use.
fn all_names() -> Vec<&'static str> {
    let fields = FIELDS.into_iter().filter(|field| *field != TOKEN);
    fields.chain([OWNER]).chain(TIMES.into_iter().flat_map(|(_, on, unix)| [on, unix])).collect()
}

/// What a template sees. What there is not is empty text.
fn all_of(fields: BTreeMap<&'static str, String>, generation: u64, owner: Option<&str>) -> Value {
    let mut more = vec![(OWNER, Value::from(owner.unwrap_or_default()))];
    for (at, on, unix) in TIMES {
        let text = fields.get(at).map(String::as_str).unwrap_or_default();
        let day = text.split_once('T').map(|(day, _)| day);
        let seconds = parse_timestamp(text).map(|at| at.timestamp());
        more.push((on, Value::from(day.unwrap_or_default())));
        more.push((unix, seconds.map_or_else(|| Value::from(""), Value::from)));
    }
    with(context(fields, generation), more.into_iter())
}

#[cfg(test)]
mod tests {
    use super::{super::tests::delivery, *};

    static LIMITS: Limits = Limits {
        key: "labels",
        most: 3,
        reserved: &["managed-by"],
        check_key: |key| if key.contains(' ') { Err("holds a space") } else { Ok(()) },
        check_value: |value| {
            if value.contains([':', ' ']) { Err("holds : or a space") } else { Ok(()) }
        },
        way_out: "use filters",
    };

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_label_that_has_nothing_to_say_goes() {
        let labels = labels(&[
            ("until", "{{ expires_on }}"),
            ("unix", " {{ expires_unix }} "),
            ("next", "{% if expires_unix %}{{ expires_unix + 1 }}{% endif %}"),
            ("by", "{{ owner | replace(' ', '-') }}"),
            ("made", "{{ created_on }}/{{ created_unix }}"),
        ]);
        let mut parcel = delivery(true);
        parcel.owner = Some("identity team".to_owned());
        let said = labels.said(&parcel, &LIMITS);
        let expected = [
            ("by", "identity-team"),
            ("made", "2026-11-22/1795320000"),
            ("next", "1797912001"),
            ("unix", "1797912000"),
            ("until", "2026-12-22"),
        ];
        let expected = expected.map(|(key, text)| (key.to_owned(), text.to_owned()));
        assert_eq!(said.put, expected.into());
        assert!(said.gone.is_empty() && said.unfit.is_empty(), "{said:?}");
        let said = labels.said(&delivery(false), &LIMITS);
        assert_eq!(said.put.keys().collect::<Vec<_>>(), ["made"]);
        assert_eq!(said.gone, ["by", "next", "unix", "until"].map(str::to_owned).into());
        let there = [("theirs", "x"), ("until", "2026-01-01")];
        let there = there.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let kept: Vec<_> = said.within(&there).into_keys().collect();
        assert_eq!(
            (kept, said.gone_from(&there)),
            (vec!["made".into(), "theirs".into()], vec!["until".into()])
        );
    }

    #[test]
    fn what_does_not_fit_is_told_and_not_cut() {
        let said =
            labels(&[("at", "{{ expires_at }}"), ("by", "x")]).said(&delivery(true), &LIMITS);
        assert_eq!(said.put.len(), 1);
        assert!(said.gone.contains("at"), "an older value would be a wrong one");
        let fault = said.all_fit("write the labels of x", &LIMITS).unwrap_err().to_string();
        assert!(fault.contains("\"at\": the value \"2026-12-22T04:00:00Z\" holds :"), "{fault}");
        assert!(fault.contains("use filters"), "{fault}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_way_out() {
        let known = Known { connection: Some("A b"), ..Known::default() };
        for (text, words, way_out) in [
            ("{{ token }}", "must not be in metadata", "token_id"),
            ("{% if token %}x{% endif %}", "must not be in metadata", "token_id"),
            ("{{ tokn_id }}", "did you mean \"token_id\"?", "names"),
            ("{{ owner }}", "has no owner", "owner = \"identity team\""),
            ("{{ expires_at }}", "\"2026-12-22T04:00:00Z\" holds :", "{{ expires_on }}, a day"),
            ("{{ connection }}", "\"A b\" holds", "use filters"),
            ("{{ scopes }}", "holds :", "use filters"),
            ("{{ connection", "cannot be used", "{{ connection }}"),
            ("{{ connection.name }}", "cannot be used", "{{ connection }}"),
        ] {
            let unfit = LIMITS.check_template("k", text, &known).unwrap_err();
            assert!(unfit.message.contains(words), "{text}: {unfit:?}");
            assert!(unfit.way_out.contains(way_out), "{text}: {unfit:?}");
        }
        let known = Known { owner: Some("team"), ..Known::default() };
        for text in ["{{ owner }}", "{{ expires_on }}", "{{ connection | upper }}", "fixed"] {
            assert_eq!(LIMITS.check_template("k", text, &known), Ok(()), "{text}");
        }
    }

    #[test]
    fn keys_of_ours_are_kept_for_us() {
        for key in [
            "scimitar",
            "scimitar:x",
            "scimitar_x",
            "Scimitar-x",
            "scimitar/x",
            "managed-by",
            "a b",
        ] {
            assert!(LIMITS.check_key(key).is_err(), "{key}");
        }
        for key in ["scim", "scimitars", "team", "scimit"] {
            assert_eq!(LIMITS.check_key(key), Ok(()), "{key}");
        }
    }
}
