//! Forty connections of a company, as pictures show them.

use scimitar::{
    error::{Class, Code},
    rotation::record::Record,
};

use super::sample;

const NAMES: [&str; 40] = [
    "initech-okta",
    "umbrella-entra",
    "hooli-okta",
    "globex-okta",
    "stark-industries-eu",
    "wayne-okta",
    "tyrell-entra",
    "warehouse-dbt",
    "cyberdyne-okta",
    "soylent-saml",
    "vehement-okta",
    "massive-dynamic-okta",
    "aperture-entra",
    "black-mesa-okta",
    "pied-piper-saml",
    "dunder-mifflin-okta",
    "sterling-cooper-okta",
    "wonka-entra",
    "acme-labs-okta",
    "gringotts-okta",
    "monsters-inc-saml",
    "nakatomi-okta",
    "weyland-entra",
    "blue-sun-okta",
    "virtucon-okta",
    "rekall-okta",
    "yoyodyne-okta",
    "ollivander-saml",
    "duff-okta",
    "gekko-entra",
    "bluth-okta",
    "vandelay-okta",
    "prestige-okta",
    "hudsucker-okta",
    "zorin-okta",
    "tricell-okta",
    "abstergo-entra",
    "omni-okta",
    "lexcorp-okta",
    "oscorp-okta",
];

fn of_another_provider(mut record: Record, provider: &str) -> Record {
    record.provider = scimitar::token::ProviderName::try_new(provider).unwrap();
    record
}

/// All is well.
pub(crate) fn well() -> Vec<Record> {
    let each = NAMES.iter().zip(0_i64..).map(|(name, index)| {
        let life = if index % 4 == 3 { 90 } else { 30 };
        let age = (index * 7 + 3) % (life - 11);
        match *name {
            "umbrella-entra" | "gekko-entra" => sample::retiring(name),
            "warehouse-dbt" => of_another_provider(sample::endless(name), "warehouse"),
            "tyrell-entra" => sample::delivering(name),
            _ if name.ends_with("entra") => {
                of_another_provider(sample::quiet(name, age, life), "entra")
            }
            _ => sample::quiet(name, age, life),
        }
    });
    each.collect()
}

/// Two causes, two connections that wait for a decision.
pub(crate) fn mixed() -> Vec<Record> {
    let each = well().into_iter().map(|record| match record.name.as_str() {
        "cyberdyne-okta" => sample::expired("cyberdyne-okta"),
        "stark-industries-eu" => sample::refused("stark-industries-eu"),
        "wayne-okta" => sample::drifted("wayne-okta"),
        name @ ("hooli-okta" | "globex-okta") => sample::failed(name, Class::Terminal),
        _ => record,
    });
    each.collect()
}

/// More than half of them fail for one reason.
pub(crate) fn failing() -> Vec<Record> {
    let each = well().into_iter().enumerate().map(|(index, record)| {
        if index >= 21 {
            return record;
        }
        let name = record.name.as_str();
        let mut record = sample::failed(name, Class::Terminal);
        if let Some(trouble) = &mut record.troubles.mint {
            trouble.fault.code = Code::NoConnection;
            trouble.fault.detail = "acme.eu.auth0.com answered 404 for this connection: correct \
                                    `connection_id` in the configuration, or remove the connection"
                .to_owned();
        }
        record
    });
    each.collect()
}
