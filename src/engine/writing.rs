//! The proof of a token by writing: a throw-away user is announced, created, changed and deleted; and what
//! deletes one that an earlier call left.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;
use reqwest::Url;

use super::{lease::Stop, run::Run};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    ledger::Durability,
    probe::{ScimProbe, UserAct, UserAnswer},
    rotation::{
        answer::{
            self, Created, ProbeAnswer, Removal, Sighting, Writing, found, nowhere, remains, shows,
            sighted, stuck, undeleted, user_created,
        },
        event::{Event, ProbeUserEvent},
        probe_user::{Made, ProbeUser, ProbeUserName, UserOp, WritePlan},
        record::{Phase, Proof},
    },
    token::{ScimUserId, TokenId, TokenValue},
};

/// Requests are this far apart: the slowest tenants allow five a second for a connection.
const PACE: TimeDelta = TimeDelta::milliseconds(250);

/// So often a request is sent again that was answered 429.
const THROTTLED: u32 = 5;

/// The longest pause that is made because of that.
const LONGEST_PAUSE: TimeDelta = TimeDelta::seconds(15);

/// A proof is not begun where there is less time for it than its requests take at least.
const ENOUGH: TimeDelta = TimeDelta::seconds(3);

/// A token, and where it is sent.
struct Door {
    endpoint: Url,
    id: TokenId,
    value: TokenValue,
}

fn unanswered(act: &UserAct) -> Fault {
    let words = "no answer before the end of this call";
    Fault::new(format!("{} a throw-away user", act.op()), Class::Transient, Code::Timeout, words)
}

impl Run<'_> {
    /// Proves a token that may read users also by writing.
    ///
    /// # If an answer is lost
    /// The user may be there. Its name is in the record before it is created, and whoever comes next
    /// searches for it and deletes it.
    pub(super) async fn prove_by_writing(
        &mut self,
        id: &TokenId,
        value: TokenValue,
        plan: &WritePlan,
    ) -> Result<ProbeAnswer, Stop> {
        let door = self.door(id, value);
        let mut writing = Writing::new(id.clone(), plan, self.now());
        let until = self.time_to_write();
        if until.is_some_and(|until| until - self.now() < ENOUGH) && self.is_first_try() {
            let words = "this call does not have enough time left (--timeout); the next rotation tries again";
            writing.skip(words.to_owned());
            return self.proved(writing);
        }
        if let Some(left) = self.record().probe_user.clone() {
            match self.remove(&door, &left).await? {
                Removal::Deleted | Removal::Absent => {}
                Removal::Failed(answer) => return Ok(answer),
                Removal::Stuck(fault) => {
                    writing.skip(format!(
                        "no new throw-away user is created until {} is deleted, which failed: {}",
                        left.name, fault.detail
                    ));
                    return self.proved(writing);
                }
            }
        }
        // Under the name of one that may still come: there is never more than one.
        let left = self.record().probe_user.as_ref().map(|left| left.name.clone());
        let earlier = left.is_some();
        let name = left.unwrap_or_else(|| plan.user.clone());
        let announced = ProbeUserEvent::Announced { name: name.clone(), at: self.now() };
        let why = format!("proving {id} with the throw-away user {name}");
        self.of_user(announced, &why)?;
        let answer = self.act(&door, &UserAct::Create(name.clone())).await?;
        match user_created(&name, earlier, answer) {
            Created::Made(made) => {
                writing.made();
                let why = format!("the throw-away user {name} was created");
                self.of_user(ProbeUserEvent::Made(made.clone()), &why)?;
                let left = self.record().probe_user.clone();
                let left = left.unwrap_or_else(|| ProbeUser::new(name.clone(), self.now()));
                // One whose answer did not show it is perhaps found by its name.
                let user = match (made, self.unnamed(&door, &left).await?) {
                    (Made::As(user) | Made::Shown(user), _) | (_, Some(user)) => Some(user),
                    (Made::Perhaps | Made::Unnamed, None) => None,
                };
                if let Some(user) = &user {
                    self.exercise(&door, user, &name, &mut writing, until).await?;
                }
                let left = self.record().probe_user.clone().unwrap_or(left);
                let removal = self.remove(&door, &left).await?;
                writing.ended(&removal, self.now());
            }
            Created::No(refused) => {
                let why = format!("the throw-away user {name} was not created");
                let gone = answer::not_created(self.record().probe_user.as_ref(), self.now());
                self.of_user(gone, &why)?;
                writing.refused(&name, refused);
            }
            Created::Unclear(answer) => return Ok(answer),
        }
        self.proved(writing)
    }

    /// Deletes the throw-away user on record.
    pub(super) async fn remove_user(
        &mut self,
        id: &TokenId,
        announced: Event,
        why: &str,
    ) -> Result<(), Stop> {
        let value = self.memory.value(id)?.clone();
        self.lease.store(&announced, why)?;
        let Some(left) = self.record().probe_user.clone() else { return Ok(()) };
        let door = self.door(id, value);
        self.remove(&door, &left).await.map(drop)
    }

    /// The id of a user whose create did not show it.
    async fn unnamed(&mut self, door: &Door, user: &ProbeUser) -> Result<Option<ScimUserId>, Stop> {
        if user.made != Made::Unnamed {
            return Ok(None);
        }
        match self.sighting(door, user).await? {
            Sighting::There(ids) => Ok(ids.into_iter().next()),
            Sighting::Nowhere | Sighting::Hidden(_) | Sighting::Failed(_) => Ok(None),
        }
    }

    /// Everything between the create and the delete.
    async fn exercise(
        &mut self,
        door: &Door,
        user: &ScimUserId,
        name: &ProbeUserName,
        writing: &mut Writing,
        until: Option<Timestamp>,
    ) -> Result<(), Stop> {
        while let Some(act) = writing.next(user, name) {
            if until.is_some_and(|until| self.now() >= until) {
                writing.cut(act.op());
                return Ok(());
            }
            let answer = self.act(door, &act).await?;
            let accepted = matches!(answer, UserAnswer::Done(_));
            if act.op() == UserOp::Read {
                writing.seen(name, user, &answer);
                if shows(name, user, &answer) {
                    self.is_shown(name, user)?;
                }
            }
            writing.took(act.op(), name, answer);
            if act.op() == UserOp::Deactivate && accepted {
                let seen = self.act(door, &UserAct::Read(user.clone())).await?;
                writing.read_back(name, &seen);
            }
        }
        Ok(())
    }

    /// An answer shows exactly this name under this id: whoever comes next knows whom to delete, even where
    /// the endpoint shows the user no more.
    fn is_shown(&mut self, name: &ProbeUserName, user: &ScimUserId) -> Result<(), Stop> {
        let made = self.record().probe_user.as_ref().map(|left| &left.made);
        if !matches!(made, Some(Made::As(_) | Made::Unnamed)) {
            return Ok(());
        }
        let why = format!("the SCIM endpoint shows the throw-away user {name} under its id");
        self.of_user(ProbeUserEvent::Made(Made::Shown(user.clone())), &why)
    }

    /// Looks for a throw-away user by its id and by its name, deletes what has exactly that name, and
    /// writes down how that went.
    async fn remove(&mut self, door: &Door, user: &ProbeUser) -> Result<Removal, Stop> {
        let removal = match self.sighting(door, user).await? {
            Sighting::There(ids) => {
                if let (Some(id), 1) = (ids.first(), ids.len()) {
                    self.is_shown(&user.name, id)?;
                }
                self.delete(door, &user.name, &ids).await?
            }
            Sighting::Nowhere => nowhere(user, self.now()),
            Sighting::Hidden(words) => {
                Removal::Stuck(stuck(&user.name, Class::Terminal, Code::Unreadable, &words))
            }
            Sighting::Failed(answer) => Removal::Failed(answer),
        };
        let is_known = matches!(removal, Removal::Deleted | Removal::Absent);
        if !is_known && self.lease.deadline.ending().is_some() {
            // That is no failure of the endpoint: the next start looks for it at once.
            return Ok(removal);
        }
        let answered = answer::removed(&self.situation(), user, &removal);
        if let Removal::Stuck(fault) = &removal {
            let connection = &self.record().name;
            tracing::warn!(error = %fault, "{connection}: {fault}");
        }
        self.write(answered)?;
        Ok(removal)
    }

    async fn sighting(&mut self, door: &Door, user: &ProbeUser) -> Result<Sighting, Stop> {
        let Some(id) = user.made.id() else {
            let answer = self.act(door, &UserAct::Search(user.name.clone())).await?;
            return Ok(sighted(&user.name, answer));
        };
        let read = self.act(door, &UserAct::Read(id.clone())).await?;
        if shows(&user.name, id, &read) {
            return Ok(Sighting::There(BTreeSet::from([id.clone()])));
        }
        let searched = self.act(door, &UserAct::Search(user.name.clone())).await?;
        Ok(found(user, &read, sighted(&user.name, searched)))
    }

    /// Deletes users of this name by their ids, and looks whether they are gone.
    async fn delete(
        &mut self,
        door: &Door,
        name: &ProbeUserName,
        ids: &BTreeSet<ScimUserId>,
    ) -> Result<Removal, Stop> {
        for id in ids {
            let answer = self.act(door, &UserAct::Delete(id.clone())).await?;
            let was_gone = answer == UserAnswer::NotThere;
            if let Some(fault) = undeleted(name, answer) {
                return Ok(Removal::Stuck(fault));
            }
            if was_gone {
                continue;
            }
            let after = self.act(door, &UserAct::Read(id.clone())).await?;
            if let Some(fault) = remains(name, id, &after) {
                return Ok(Removal::Stuck(fault));
            }
        }
        Ok(Removal::Deleted)
    }

    /// Sends one request. One that was answered 429 was not carried out, and is sent again.
    async fn act(&mut self, door: &Door, act: &UserAct) -> Result<UserAnswer, Stop> {
        let probe = self.connection.probe.clone();
        for _ in 1..THROTTLED {
            if self.lease.deadline.ending().is_some() {
                // What is left of the time is for the token.
                return Ok(UserAnswer::Inconclusive(unanswered(act)));
            }
            self.announce(door)?;
            let answer = self.sent(&*probe, door, act).await?;
            let throttled = if let UserAnswer::Inconclusive(fault) = &answer
                && fault.code == Code::Throttled
            {
                fault.retry_after.or(Some(Duration::from_secs(1)))
            } else {
                None
            };
            let Some(pause) = throttled else { return Ok(answer) };
            let pause = TimeDelta::from_std(pause).unwrap_or(LONGEST_PAUSE);
            self.sleep(self.now() + pause.clamp(PACE, LONGEST_PAUSE)).await?;
        }
        self.announce(door)?;
        self.sent(&*probe, door, act).await
    }

    async fn sent(
        &mut self,
        probe: &dyn ScimProbe,
        door: &Door,
        act: &UserAct,
    ) -> Result<UserAnswer, Stop> {
        self.lease.ready(Durability::Now).await?;
        self.sleep(self.now() + PACE).await?;
        self.lease.ready(Durability::Now).await?;
        let answer = self.until_the_end(probe.user(&door.endpoint, &door.value, act)).await?;
        Ok(answer.unwrap_or_else(|| UserAnswer::Inconclusive(unanswered(act))))
    }

    /// Until when users may be written to: half of what is left of the call's time is for the rest of the
    /// rotation.
    fn time_to_write(&self) -> Option<Timestamp> {
        let now = self.now();
        self.lease.deadline.ends_at().map(|end| now + (end - now) / 2)
    }

    /// Whether nothing has kept this token from being proven yet.
    fn is_first_try(&self) -> bool {
        match &self.record().phase {
            Phase::Delivering(replacement) => {
                matches!(replacement.proof, Proof::Pending { silent_since: None, .. })
            }
            Phase::Steady | Phase::Minting(_) => false,
        }
    }

    /// What was announced of the token's use covers a request that is sent now: else it is announced
    /// again, so that our own use of the token is never taken for a client's.
    fn announce(&mut self, door: &Door) -> Result<(), Stop> {
        let event = answer::announced(&self.situation(), &door.id);
        match event {
            Some(event) => {
                let why = format!("proving {} by writing", door.id);
                self.lease.store(&event, &why)
            }
            None => Ok(()),
        }
    }

    fn proved(&mut self, writing: Writing) -> Result<ProbeAnswer, Stop> {
        let (answer, proof) = writing.finish();
        if let Some(proof) = proof {
            let words = proof.words();
            self.of_user(ProbeUserEvent::Proved(Box::new(proof)), &words)?;
        }
        Ok(answer)
    }

    fn of_user(&mut self, event: ProbeUserEvent, why: &str) -> Result<(), Stop> {
        self.lease.store(&Event::ProbeUser(event), why)
    }

    fn door(&self, id: &TokenId, value: TokenValue) -> Door {
        let endpoint = self.connection.provider.scim_endpoint(&self.record().key.connection);
        Door { endpoint, id: id.clone(), value }
    }
}
