//! How a ledger is opened, made where there is none, and what a run would lack.

use std::sync::Arc;

use super::{
    PostgresLedger, Settings,
    address::Address,
    failure::Failure,
    of,
    pool::Pool,
    schema::{self, Found},
};
use crate::{clock::Entropy, ledger::LedgerError};

impl PostgresLedger {
    /// Opens a ledger, making schema and tables where there are none and the role may, and brings an
    /// older one up to date.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when it cannot be reached or written now; [`LedgerError::Unusable`]
    /// when it is no ledger, or of a newer version.
    pub async fn open(settings: Settings, entropy: Arc<dyn Entropy>) -> Result<Self, LedgerError> {
        let opened = Self::open_to_move(settings, entropy).await?;
        opened.ask(|client, _| async move { schema::must_be_of_use(&client).await }).await?;
        opened.pool.must_be(opened.id.clone());
        Ok(opened)
    }

    /// The same for one that is to be moved, whether it is of use or not.
    ///
    /// # Errors
    /// As [`PostgresLedger::open`].
    pub async fn open_to_move(
        settings: Settings,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, LedgerError> {
        let pool = Pool::new(settings, true, Arc::clone(&entropy));
        let opened = async {
            let may_make = takes_writes(&pool).await?;
            let found = pool.call(async |client, _| schema::look(&client).await).await?;
            if !matches!(found, Found::Ledger(_, true)) {
                if !may_make {
                    return Err(not_made(&pool.settings.address, &found));
                }
                pool.call(async |client, _| schema::migrate(&client).await).await?;
            }
            match pool.call(async |client, _| schema::look(&client).await).await? {
                Found::Ledger(id, _) => Ok(id),
                Found::Nothing => Err(not_made(&pool.settings.address, &Found::Nothing)),
            }
        };
        match opened.await {
            Ok(id) => Ok(Self::new(pool, id, false, entropy)),
            Err(failure) => Err(of(&pool, failure)),
        }
    }

    /// Opens a ledger for looking only. `None` when there is none. Nothing is made or changed; what would
    /// write is answered [`LedgerError::Unavailable`]. A standby will do.
    ///
    /// # Errors
    /// As [`PostgresLedger::open`]; also when it is of an older version, which only a writer can bring
    /// up to date.
    pub async fn open_read_only(
        settings: Settings,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Option<Self>, LedgerError> {
        let pool = Pool::new(settings, false, Arc::clone(&entropy));
        match pool.call(async |client, _| schema::look(&client).await).await {
            Ok(Found::Nothing) => Ok(None),
            Ok(Found::Ledger(id, true)) => {
                let found = Self::new(pool, id, true, entropy);
                found.ask(|client, _| async move { schema::must_be_of_use(&client).await }).await?;
                found.pool.must_be(found.id.clone());
                Ok(Some(found))
            }
            Ok(Found::Ledger(_, false)) => {
                let words = "an older version of Scimitar created its tables: the next run upgrades \
                             them";
                Err(of(&pool, Failure::Unusable(words.to_owned())))
            }
            Err(failure) => Err(of(&pool, failure)),
        }
    }

    /// What a run would lack, in words with the way out: rights, or a server that can be written.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn trouble(settings: Settings, entropy: Arc<dyn Entropy>) -> Result<(), LedgerError> {
        let pool = Pool::new(settings, true, entropy);
        let asked = async {
            let may_make = takes_writes(&pool).await?;
            // Before anything is read: to read may be one of them.
            let missing = pool.call(async |client, _| schema::missing(&client).await).await?;
            if !missing.is_empty() {
                return Err(lacks(&pool.settings.address, &missing));
            }
            let found = pool.call(async |client, _| schema::look(&client).await).await?;
            match found {
                Found::Ledger(_, true) => Ok(()),
                Found::Ledger(_, false) | Found::Nothing if may_make => Ok(()),
                found @ (Found::Ledger(_, false) | Found::Nothing) => {
                    Err(not_made(&pool.settings.address, &found))
                }
            }
        };
        asked.await.map_err(|failure| of(&pool, failure))
    }
}

/// Refuses a server that takes no writes; says whether the role could make a ledger on another.
async fn takes_writes(pool: &Pool) -> Result<bool, Failure> {
    let (standby, may_make) = pool.call(async |client, _| schema::standing(&client).await).await?;
    if standby {
        return Err(Failure::Unavailable(
            "the server is a standby or was made read-only: name the primary in [state] url, or all \
             servers, separated by commas"
                .to_owned(),
        ));
    }
    Ok(may_make)
}

/// The role may not do all that it would have to, and how that is granted.
pub(super) fn lacks(address: &Address, missing: &[String]) -> Failure {
    let user = &address.user;
    Failure::Unavailable(format!(
        "{user} lacks permissions: {}; as the owner: GRANT … TO \"{user}\"",
        missing.join(", ")
    ))
}

fn not_made(address: &Address, found: &Found) -> Failure {
    let (user, database) = (&address.user, &address.database);
    let what = match found {
        Found::Nothing => "there is no ledger in the database",
        Found::Ledger(..) => "its tables are of an older version",
    };
    Failure::Unavailable(format!(
        "{what}, and {user} may not create one: as its owner, run the statements in docs/postgresql.md, or \
         GRANT CREATE ON DATABASE \"{database}\" TO \"{user}\""
    ))
}
