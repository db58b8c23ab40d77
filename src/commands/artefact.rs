//! `schema`, `completions` and `man`: files that belong to the program, printed by it, so that what
//! is installed cannot be of another version.

use clap_complete::{Generator, Shell};

use super::{
    manual,
    output::{Answer, Failure, FailureClass, File},
};
use crate::{
    cli::{Artefact, definition},
    config::schema::schema,
};

/// The file.
#[must_use]
pub fn answer(artefact: Artefact) -> Answer {
    match file(artefact) {
        Ok(file) => Answer { artefact: Some(file.clone()), ..Answer::shown(Vec::new(), file.text) },
        // Nothing is asked for that could fail; a defect, then.
        Err(error) => {
            let message = format!("could not make it: {error}; this is a defect of scimitar");
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
        Artefact::Completions(shell) => completions(shell),
        Artefact::Man => Ok(File { name: "scimitar.1".to_owned(), text: manual::page()? }),
    }
}

fn completions(shell: Shell) -> std::io::Result<File> {
    let mut command = definition();
    let name = shell.file_name(command.get_name());
    command.set_bin_name("scimitar");
    command.build();
    let mut bytes = Vec::new();
    shell.try_generate(&command, &mut bytes)?;
    let text = String::from_utf8(bytes).map_err(std::io::Error::other)?;
    Ok(File { name, text })
}
