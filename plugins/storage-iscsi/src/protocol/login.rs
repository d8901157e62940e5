//! The login phase (RFC 7143, sections 6.3 and 11.12), as questions and answers.
//!
//! ```text
//!   Security ── AuthMethod, CHAP ──▸ Operational ── offer, answers ──▸ full feature phase
//! ```
//! One request is out at a time. [`Login::start`] gives the first, [`Login::answer`] takes each response and gives what
//! comes of it.

use super::chap::{self, Algorithm, Challenge, Credentials};
use super::frame::{Digests, Pdu, first, write};
use super::offer::{self, Agreed, Wishes};
use super::reply::{LoginReply, Reply};
use super::request::{self, LoginHeader, numbered};
use super::sequence::{Numbers, Sequence};
use super::text::{self, Gathered, Pairs, value};

/// Requests of one login; an honest one takes four.
const MOST_REQUESTS: usize = 24;
/// The first number of our commands.
const FIRST_COMMAND: u32 = 1;

const SECURITY: u8 = 0;
const OPERATIONAL: u8 = 1;
const FULL_FEATURE: u8 = 3;

/// Who logs in to what.
#[derive(Clone)]
pub struct Wanted {
    pub initiator: String,
    /// None for discovery.
    pub target: Option<String>,
    pub credentials: Option<Credentials>,
    pub wishes: Wishes,
    /// The initiator's half of the session's name (section 11.12.5). A login with the one of a session that still is
    /// takes that session's place.
    pub isid: [u8; 6],
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Names or secrets do not fit.
    Authentication(String),
    /// This initiator may not use the target.
    Forbidden,
    /// The portal has no such target.
    NoSuchTarget,
    /// The target is at another portal: `HOST:PORT` or `HOST:PORT,GROUP`.
    Moved { to: String, for_good: bool },
    /// It may work later.
    Unavailable(String),
    /// Both sides do not fit together.
    Incompatible(String),
    /// It broke the protocol.
    Broken(String),
}

/// What comes of a response.
pub enum Step {
    /// The next request.
    Send(Vec<u8>),
    /// The session stands.
    Done { agreed: Agreed, sequence: Sequence },
}

/// Where CHAP is.
enum Proof {
    /// Nothing was asked of us yet.
    Open,
    /// We wait for the target's challenge.
    Offered,
    /// We answered, and asked in turn where the target must prove itself.
    Answered { algorithm: Algorithm, ours: Option<Challenge> },
    /// Both sides are content.
    Done,
}

pub struct Login {
    wanted: Wanted,
    stage: u8,
    proof: Proof,
    offered: Vec<(String, String)>,
    /// All that the target said in the operational stage.
    said: Pairs,
    gathered: Gathered,
    session: u16,
    expected_status: u32,
    requests: usize,
}

impl Login {
    pub fn new(wanted: Wanted) -> Self {
        Login {
            wanted,
            stage: SECURITY,
            proof: Proof::Open,
            offered: Vec::new(),
            said: Pairs::new(),
            gathered: Gathered::default(),
            session: 0,
            expected_status: 0,
            requests: 0,
        }
    }

    /// The first request.
    pub fn start(&mut self) -> Vec<u8> {
        let method = match &self.wanted.credentials {
            None => "None",
            // A target that need not prove itself may also want no proof of us.
            Some(Credentials { theirs: None, .. }) => "CHAP,None",
            Some(Credentials { theirs: Some(_), .. }) => "CHAP",
        };
        let mut keys = vec![("InitiatorName", self.wanted.initiator.clone())];
        match &self.wanted.target {
            Some(target) => {
                keys.extend([("TargetName", target.clone()), ("SessionType", "Normal".to_owned())]);
            }
            None => keys.push(("SessionType", "Discovery".to_owned())),
        }
        keys.push(("AuthMethod", method.to_owned()));
        let transit = self.wanted.credentials.is_none();
        self.request(&keys, transit)
    }

    fn request(&mut self, keys: &[(&str, String)], transit: bool) -> Vec<u8> {
        let next = if self.stage == SECURITY { OPERATIONAL } else { FULL_FEATURE };
        let isid = self.wanted.isid;
        let header = request::login(LoginHeader { transit, current: self.stage, next, isid, session: self.session });
        let pairs: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut out = Vec::new();
        let header = numbered(header, FIRST_COMMAND, self.expected_status);
        write(&mut out, header, &text::write(&pairs), Digests::default());
        out
    }

    /// # Errors
    /// The target says no, or what it says makes no sense.
    pub fn answer(&mut self, pdu: &Pdu<'_>) -> Result<Step, Refusal> {
        let broken = |what: &str| Refusal::Broken(what.to_owned());
        let reply = Reply::read(&pdu.header, &pdu.data).map_err(|fault| Refusal::Broken(fault.to_string()))?;
        let Reply::Login { numbers, login, text } = reply else {
            return Err(broken("the target answered a login with something else"));
        };
        self.requests += 1;
        if self.requests > MOST_REQUESTS {
            return Err(broken("the target does not come to an end with the login"));
        }
        self.expected_status = numbers.status.wrapping_add(1);
        let gathered = self.gathered.add(text, login.more);
        let pairs = gathered.map_err(|fault| Refusal::Broken(fault.to_string()))?;
        if login.class != 0 {
            return Err(self.refusal(login, &pairs.unwrap_or_default()));
        }
        let Some(pairs) = pairs else { return Ok(Step::Send(self.request(&[], false))) };
        if login.current != self.stage {
            return Err(broken("the target is in another stage of the login"));
        }
        match self.stage {
            SECURITY => self.security(login, &pairs),
            _ => self.operational(login, numbers, pairs),
        }
    }

    fn security(&mut self, login: LoginReply, pairs: &[(String, String)]) -> Result<Step, Refusal> {
        let credentials = self.wanted.credentials.clone();
        match (&self.proof, credentials) {
            (Proof::Open, None) => match value(pairs, "AuthMethod") {
                None | Some("None") => self.proof = Proof::Done,
                Some(_) => return Err(Refusal::Authentication("the target asks for a user and a password".into())),
            },
            (Proof::Open, Some(credentials)) => match value(pairs, "AuthMethod") {
                Some("CHAP") => {
                    self.proof = Proof::Offered;
                    return Ok(Step::Send(self.request(&[("CHAP_A", chap::OFFER.to_owned())], false)));
                }
                Some("None") | None if credentials.theirs.is_none() => self.proof = Proof::Done,
                Some(_) | None => return Err(Refusal::Authentication("the target does not do CHAP".into())),
            },
            (Proof::Offered, Some(credentials)) => return self.prove(&credentials, pairs),
            (Proof::Answered { algorithm, ours }, Some(credentials)) => {
                verify(*algorithm, ours.as_ref(), &credentials, pairs)?;
                self.proof = Proof::Done;
            }
            (Proof::Done, _) => {}
            (Proof::Offered | Proof::Answered { .. }, None) => {
                return Err(Refusal::Broken("the target goes on with a proof that nobody asked for".into()));
            }
        }
        if !login.transit {
            return Ok(Step::Send(self.request(&[], true)));
        }
        match login.next {
            OPERATIONAL => {
                self.stage = OPERATIONAL;
                self.offered = offer::proposed(self.wanted.wishes, self.wanted.target.is_none());
                let offered = self.offered.clone();
                let keys: Vec<_> = offered.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
                Ok(Step::Send(self.request(&keys, true)))
            }
            _ => Err(Refusal::Broken("the target skips the negotiation".into())),
        }
    }

    /// The target asks for a proof; we give it, and ask for one where the target must prove itself too.
    fn prove(&mut self, credentials: &Credentials, pairs: &[(String, String)]) -> Result<Step, Refusal> {
        let wrong = |what: &str| Refusal::Broken(format!("the target's CHAP has {what}"));
        let algorithm =
            value(pairs, "CHAP_A").and_then(Algorithm::read).ok_or_else(|| wrong("no algorithm of ours"))?;
        let identifier = value(pairs, "CHAP_I").and_then(|number| number.parse().ok());
        let identifier: u8 = identifier.ok_or_else(|| wrong("no identifier"))?;
        let challenge = value(pairs, "CHAP_C").and_then(chap::binary).ok_or_else(|| wrong("no challenge"))?;
        if Challenge::is_reflected(&challenge) {
            return Err(Refusal::Authentication(
                "the target asked us our own question: it is not the target, and wants our answer for itself".into(),
            ));
        }
        let proof = algorithm.response(identifier, &credentials.ours.secret, &challenge);
        let mut keys = vec![("CHAP_N", credentials.ours.name.clone()), ("CHAP_R", chap::hex(&proof))];
        let mut ours = None;
        if credentials.theirs.is_some() {
            let question = Challenge::new()
                .ok_or_else(|| Refusal::Unavailable("this host gives no random numbers for a challenge".into()))?;
            keys.extend([("CHAP_I", question.identifier.to_string()), ("CHAP_C", chap::hex(&question.bytes))]);
            ours = Some(question);
        }
        self.proof = Proof::Answered { algorithm, ours };
        Ok(Step::Send(self.request(&keys, true)))
    }

    fn operational(&mut self, login: LoginReply, numbers: Numbers, pairs: Pairs) -> Result<Step, Refusal> {
        let answers = offer::answers(&self.offered, &pairs);
        self.said.extend(pairs);
        if !answers.is_empty() || !login.transit {
            let keys: Vec<(&str, String)> = answers.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
            let request = self.request(&keys, true);
            self.offered.extend(answers);
            if login.transit {
                return Err(Refusal::Broken("the target ends the login with a question".into()));
            }
            return Ok(Step::Send(request));
        }
        if login.next != FULL_FEATURE {
            return Err(Refusal::Broken("the target goes to a stage that there is not".into()));
        }
        let agreed = offer::agreed(self.wanted.wishes, &self.said).map_err(Refusal::Incompatible)?;
        Ok(Step::Done { agreed, sequence: Sequence::after_login(FIRST_COMMAND, numbers) })
    }
}

impl Login {
    /// Status classes and details of section 11.13.5.
    fn refusal(&self, login: LoginReply, pairs: &[(String, String)]) -> Refusal {
        match (login.class, login.detail) {
            (1, detail) => match value(pairs, "TargetAddress") {
                Some(to) => Refusal::Moved { to: to.to_owned(), for_good: detail == 2 },
                None => Refusal::Broken("the target moved and does not say where to".into()),
            },
            (2, 1) if self.wanted.credentials.is_none() => {
                Refusal::Authentication("the target asks for a user and a password".into())
            }
            (2, 1) => Refusal::Authentication("the target does not take the user and the password".into()),
            // An error that is not named, while both sides prove who they are, is one of that.
            (2, 0) if self.stage == SECURITY => {
                Refusal::Authentication("the target does not go on with the proof: it may not know all users".into())
            }
            (2, 2) => Refusal::Forbidden,
            (2, 3 | 4) => Refusal::NoSuchTarget,
            (2, 6) => Refusal::Unavailable("the target has too many sessions".into()),
            (3, detail) => Refusal::Unavailable(format!("the target cannot serve now (status 0x03{detail:02x})")),
            (class, detail) => {
                let status = u16::from_be_bytes([class, detail]);
                Refusal::Incompatible(format!("the target refuses the login with status {status:#06x}"))
            }
        }
    }
}

/// The target's own proof.
fn verify(
    algorithm: Algorithm,
    question: Option<&Challenge>,
    credentials: &Credentials,
    pairs: &[(String, String)],
) -> Result<(), Refusal> {
    let (Some(question), Some(theirs)) = (question, &credentials.theirs) else { return Ok(()) };
    let no = |why: &str| Err(Refusal::Authentication(format!("the target did not prove who it is: {why}")));
    let Some(name) = value(pairs, "CHAP_N") else { return no("it gave no name") };
    let Some(response) = value(pairs, "CHAP_R").and_then(chap::binary) else { return no("it gave no response") };
    if !chap::equal(&response, &algorithm.response(question.identifier, &theirs.secret, &question.bytes)) {
        return no("its secret is another than mutual-password");
    }
    if name != theirs.name {
        return no("its name is another than mutual-user");
    }
    Ok(())
}

/// A login over a stream of bytes: the responses one by one, and what is left once it is done.
pub struct Dialogue {
    login: Login,
    bytes: Vec<u8>,
}

/// What is to be done after some bytes came.
pub enum Progress {
    /// More must come.
    Wait,
    Send(Vec<u8>),
    /// The session stands; `rest` are bytes that came behind the last response, and are the session's.
    Done {
        agreed: Agreed,
        sequence: Sequence,
        rest: Vec<u8>,
    },
}

impl Dialogue {
    /// The first request goes with it.
    pub fn start(wanted: Wanted) -> (Self, Vec<u8>) {
        let mut login = Login::new(wanted);
        let request = login.start();
        (Dialogue { login, bytes: Vec::new() }, request)
    }

    /// # Errors
    /// As [`Login::answer`].
    pub fn input(&mut self, bytes: &[u8]) -> Result<Progress, Refusal> {
        self.bytes.extend_from_slice(bytes);
        let first = first(&self.bytes, Digests::default()).map_err(|fault| Refusal::Broken(fault.to_string()))?;
        let Some((pdu, used)) = first else { return Ok(Progress::Wait) };
        let step = self.login.answer(&pdu)?;
        self.bytes.drain(..used);
        Ok(match step {
            Step::Send(request) => Progress::Send(request),
            Step::Done { agreed, sequence } => {
                Progress::Done { agreed, sequence, rest: std::mem::take(&mut self.bytes) }
            }
        })
    }
}
