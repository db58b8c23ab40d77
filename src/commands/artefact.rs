//! `schema`, `completions` and `man`: files that belong to the program, printed by it, so that what
//! is installed cannot be of another version.

use super::{
    completions, manual,
    output::{Answer, Failure, FailureClass, File},
};
use crate::{cli::Artefact, config::schema::schema};

/// The file.
#[must_use]
pub fn answer(artefact: Artefact) -> Answer {
    match file(artefact) {
        Ok(file) => Answer { artefact: Some(file.clone()), ..Answer::shown(Vec::new(), file.text) },
        // Nothing is asked for that could fail; a defect, then.
        Err(error) => {
            let message = format!("could not generate it: {error}; this is a bug in Scimitar");
            Answer::failed(Failure::new(FailureClass::System, message))
        }
    }
}

fn file(artefact: Artefact) -> std::io::Result<File> {
    match artefact {
        Artefact::Schema => {
            let text = format!("{:#}\n", schema());
            Ok(File { name: "scimitar.schema.json".to_owned(), text })
        }
        Artefact::Completions(shell) => completions::script(shell),
        Artefact::Man => Ok(File { name: "scimitar.1".to_owned(), text: manual::page()? }),
    }
}
