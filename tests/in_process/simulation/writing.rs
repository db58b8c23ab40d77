//! The users behind a SCIM endpoint: other people's, and the throw-away ones of proofs by writing.

use scimitar::{
    probe::{SeenUser, SeenUsers, UserAct, UserAnswer},
    rotation::{
        policy::{Policy, UserScopes, Verify},
        probe_user::ProbeUserName,
    },
    token::ScimUserId,
};

use super::{provider::Accepts, world::World};

/// Somebody whose name is much like a throw-away user's.
pub(crate) const OTHERS: [(&str, &str); 2] = [
    ("okta|acme|ada", "ada@acme.example"),
    ("okta|acme|probe", "scimitar-probe-@scimitar.invalid"),
];

/// The same policy with a proof by writing.
pub(crate) fn by_writing(mut policy: Policy) -> Policy {
    policy.capabilities.user_scopes =
        UserScopes::named(["get:users", "post:users", "put:users", "patch:users", "delete:users"]);
    policy.terms.verify = Verify::Write;
    policy
}

impl World {
    /// Other people's users are there from the beginning.
    pub(crate) fn populate(&mut self, index: usize) {
        let others = OTHERS.map(|(id, name)| (id.to_owned(), (name.to_owned(), true)));
        self.conns[index].users.extend(others);
    }

    /// One operation of the product on users, and its answer.
    pub(crate) fn act_on_user(&mut self, index: usize, value: &str, act: &UserAct) -> UserAnswer {
        if self.use_token(index, value, false) == Accepts::No {
            return UserAnswer::Unauthorized;
        }
        let shown = |id: &str, (name, active): &(String, bool)| SeenUser {
            id: ScimUserId::try_new(id).expect("a plain id"),
            name: name.clone(),
            active: Some(*active),
        };
        let hides = self.conns[index].hides_inactive;
        let seen = |active: bool| active || !hides;
        let done =
            |users: Vec<SeenUser>| UserAnswer::Done(SeenUsers { users, ..SeenUsers::default() });
        let (id, change) = match act {
            UserAct::Create(name) => {
                let users = &self.conns[index].users;
                if users.values().any(|(other, _)| other == name.as_str()) {
                    return UserAnswer::Refused { status: 409, words: "uniqueness".to_owned() };
                }
                let id = format!("okta|acme|{}", self.calls);
                let user = (name.as_str().to_owned(), true);
                let answer = done(vec![shown(&id, &user)]);
                self.conns[index].users.insert(id, user);
                return answer;
            }
            UserAct::Search(name) => {
                let users = self.conns[index].users.iter();
                let found =
                    users.filter(|(_, (other, active))| other == name.as_str() && seen(*active));
                return done(found.map(|(id, user)| shown(id, user)).collect());
            }
            UserAct::Read(id) => (id, None),
            UserAct::Replace(id, _) | UserAct::Patch(id) => (id, Some(true)),
            UserAct::Deactivate(id) => (id, Some(false)),
            UserAct::Delete(id) => {
                let gone = self.conns[index].users.remove(id.as_str());
                let Some((name, _)) = gone else { return UserAnswer::NotThere };
                self.only_ours(&name, act);
                return done(Vec::new());
            }
        };
        let users = &mut self.conns[index].users;
        let Some(user) = users.get_mut(id.as_str()).filter(|(_, active)| seen(*active)) else {
            return UserAnswer::NotThere;
        };
        if let Some(active) = change {
            user.1 = active;
        }
        let (name, answer) = (user.0.clone(), done(vec![shown(id.as_str(), user)]));
        if change.is_some() {
            self.only_ours(&name, act);
        }
        answer
    }

    /// 6. Nobody else's user is changed or deleted.
    fn only_ours(&mut self, name: &str, act: &UserAct) {
        if ProbeUserName::parse(name).is_none() {
            self.violate(
                "6 only throw-away users are changed or deleted",
                format!("{act:?} {name}"),
            );
        }
    }

    /// Why the users have not ended well, if they have not.
    pub(crate) fn users_unwell(&self, index: usize) -> Option<String> {
        let users: Vec<&str> =
            self.conns[index].users.values().map(|(name, _)| name.as_str()).collect();
        let others: Vec<&str> = OTHERS.iter().map(|(_, name)| *name).collect();
        (users != others).then(|| format!("the users are {users:?}"))
    }
}
