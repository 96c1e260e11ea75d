package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Personas are the names that Persona knows, sorted.
func Personas() []string { return slices.Sorted(maps.Keys(personas())) }

// Persona makes the server behave like a well-known one, as far as its clients have tripped over it: what without lists
// is for Options.Without, and faults, which is never nil, for Options.Faults (see JoinFaults). A name that is not known
// is an error. Faults keep count of what they have seen: each server needs its own.
//
//	gmail      X-GM-EXT-1, mailboxes are labels; LITERAL-, no QRESYNC; after many commands "OK [THROTTLED]" and "[OVERQUOTA]"
//	exchange   XOAUTH2 only; no CONDSTORE, ENABLE or ESEARCH; "Request is throttled. Suggested Backoff Time: N milliseconds"
//	yahoo      no CONDSTORE, IDLE or SASL-IR; no tokens; now and then NO [UNAVAILABLE]
//	icloud     CONDSTORE and QRESYNC, but an empty ENABLED; no MOVE, no LITERAL+; BINARY.SIZE is a syntax error
//	courier    an old server: none of what came after 2004
//	coremail   126 and 163: ID must come before SELECT; SASL-IR is announced and refused
//
// A persona takes away, refuses and changes texts. It does not add anything, but for Gmail's labels: other extensions
// of the provider's own (XLIST, XYMHIGHESTMODSEQ, ACL, METADATA) are not announced, and neither are folder names and
// separators ("INBOX.") and greetings other than Coremail's imitated. Nor are these: limits of traffic and of messages
// shown, the size limits (set Options.MaxMessage, as APPENDLIMIT and SIZE tell it), UIDVALIDITY changes (see
// ParseScript, lie uidvalidity), iCloud's user names, its LIST-STATUS without LIST-EXTENDED and its HIGHESTMODSEQ that
// is missing unless CONDSTORE was enabled before the first SELECT, its ESEARCH that tells only COUNT, Yahoo's
// HIGHESTMODSEQ without CONDSTORE, Coremail's missing UIDNEXT, and the two-step XOAUTH2 of Exchange in POP3. Where a
// provider counts traffic and time, a persona counts commands, so that a test meets the limit soon and always at the
// same place; the numbers are its own, and waiting times are shorter than the provider's.
//
// With gmail (its faults are a Labeller) the mailboxes are INBOX, [Gmail]/All Mail (\All), Drafts, Important, Sent
// Mail, Spam, Starred and Trash, and one for each label of the user:
//
//   - A message that is not in Spam or Trash is in All Mail, once, and in the mailbox of each of its labels. COPY and
//     APPEND add a label; EXPUNGE removes it. What comes to Spam or Trash, by COPY, MOVE or a label, is nowhere else; to
//     expunge it there is to delete it. EXPUNGE in All Mail moves to Trash, and MOVE does not take anything out of it.
//   - Copies have one X-GM-MSGID, and a UID in each mailbox. Flags are those of the message; \Deleted is that of the
//     mailbox. \Flagged and the label \Starred are one.
//   - FETCH, STORE and SEARCH know X-GM-LABELS, SEARCH X-GM-RAW with the usual operators, and what it does not
//     understand are words. The label of the selected mailbox is not told and cannot be removed by STORE. A change of
//     labels gives the message a new mod-sequence.
//
// Not as at Gmail: mod-sequences are those of a mailbox and not of the account; X-GM-THRID goes by References alone and
// is not the X-GM-MSGID of the first message; a message that is appended twice is two, whatever its Message-ID; labels
// are forgotten in Trash; nothing gets \Important, \Sent or \Draft by itself; \Deleted alone does not expunge;
// X-GM-RAW finds parts of words; system labels are atoms, where Gmail has quoted strings too; mailboxes have no names
// in other languages.
func Persona(name string) (without []string, faults Faults, err error) {
	p, ok := personas()[strings.ToLower(name)]
	if !ok {
		return nil, nil, fmt.Errorf("unknown persona %q: want one of %s", name, strings.Join(Personas(), ", "))
	}
	f := &personaFaults{persona: p, sessions: map[int64]personaSession{}}
	for protocol := range p.offers {
		for word := range strings.FieldsSeq(p.offers[protocol]) {
			f.offered = append(f.offered, protocol+" "+strings.ToUpper(word))
		}
	}
	f.rules.List = p.rules
	return slices.Clone(p.without), f, nil
}

// persona is what distinguishes a server from this one.
type persona struct {
	without  []string          // extensions that are there in no protocol
	offers   map[string]string // by protocol, the only extensions that are there; a protocol without an entry has all
	rules    []Rule
	idFirst  bool // SELECT and EXAMINE are refused in a session without ID
	refuseIR bool // AUTHENTICATE with an initial response is refused
	labels   bool // mailboxes are labels
}

// Ways to log in: those that no large provider has, passwords, and tokens.
var (
	personaRare      = []string{"AUTH=CRAM-MD5", "AUTH=SCRAM-SHA-1", "AUTH=SCRAM-SHA-1-PLUS", "AUTH=SCRAM-SHA-256", "AUTH=SCRAM-SHA-256-PLUS", "APOP"}
	personaPasswords = []string{"AUTH=PLAIN", "AUTH=LOGIN", "LOGIN", "USER"}
	personaTokens    = []string{"AUTH=XOAUTH2", "AUTH=OAUTHBEARER"}
)

// personas is the table. The lists of extensions have what the source shows and this server knows.
func personas() map[string]persona {
	return map[string]persona{
		"gmail":    personaGmail(),
		"exchange": personaExchange(),
		"yahoo":    personaYahoo(),
		"icloud":   personaICloud(),
		"courier":  personaCourier(),
		"coremail": personaCoremail(),
	}
}

func personaGmail() persona {
	return persona{
		without: personaRare,
		labels:  true,
		offers: map[string]string{
			// Before and after login: MailKit#1396. CONDSTORE without QRESYNC, LITERAL- and not LITERAL+.
			"imap": "IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID CHILDREN SASL-IR UIDPLUS ENABLE MOVE CONDSTORE " +
				"ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- SPECIAL-USE APPENDLIMIT COMPRESS=DEFLATE STARTTLS LOGIN AUTH " +
				"AUTH=PLAIN AUTH=XOAUTH2 AUTH=OAUTHBEARER X-GM-EXT-1",
			// email-oauth2-proxy#287: no DSN, no BINARYMIME.
			"smtp": "SIZE 8BITMIME ENHANCEDSTATUSCODES PIPELINING CHUNKING SMTPUTF8 STARTTLS AUTH AUTH=PLAIN AUTH=LOGIN AUTH=XOAUTH2 AUTH=OAUTHBEARER",
			// horde/Imap_Client#36: no PIPELINING.
			"pop3": "CAPA USER RESP-CODES EXPIRE TOP UIDL SASL STLS AUTH AUTH=PLAIN AUTH=XOAUTH2 AUTH=OAUTHBEARER",
		},
		rules: []Rule{
			// Tagged replies say [THROTTLED] behind the text: MailKit#1396, node-imap#593. It is shown at NOOP, which loses
			// nothing by it, and slows down, which is what it is there to tell.
			{Protocol: "imap", Command: "NOOP", After: 4, Hit: 1, Of: 5, Strike: Strike{Delay: personaPause, Reply: "OK Success [THROTTLED]"}},
			// The limit of traffic: ha-email-sensor#16.
			{Protocol: "imap", Command: "*FETCH", After: 199, Hit: 1, Of: 200,
				Strike: Strike{Reply: "NO [OVERQUOTA] Account exceeded command or bandwidth limits."}},
		},
	}
}

// personaPause is how long a throttled command takes.
const personaPause = 200 * time.Millisecond

func personaExchange() persona {
	const throttled = "NO Request is throttled. Suggested Backoff Time: 1500 milliseconds" // imap_tools#135, imapsync#198
	return persona{
		// XOAUTH2 only, not OAUTHBEARER; LOGINDISABLED before login: MailKit#2016.
		without: slices.Concat(personaRare, personaPasswords, []string{"AUTH=OAUTHBEARER"}),
		offers: map[string]string{
			// MailKit#2016, MailKit#1282: no CONDSTORE, ENABLE, ESEARCH, SPECIAL-USE, LIST-EXTENDED.
			"imap": "IMAP4rev1 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+ STARTTLS AUTH AUTH=XOAUTH2",
			// email-oauth2-proxy#416.
			"smtp": "SIZE PIPELINING DSN ENHANCEDSTATUSCODES STARTTLS 8BITMIME BINARYMIME CHUNKING SMTPUTF8 AUTH AUTH=XOAUTH2",
			// vmime#267: no PIPELINING, no RESP-CODES.
			"pop3": "CAPA TOP UIDL SASL STLS AUTH AUTH=XOAUTH2",
		},
		rules: []Rule{
			{Protocol: "imap", Command: "*FETCH", After: 49, Hit: 1, Of: 50, Strike: Strike{Reply: throttled}},
			{Protocol: "imap", Command: "APPEND", After: 19, Hit: 1, Of: 20, Strike: Strike{Reply: throttled}},
		},
	}
}

func personaYahoo() persona {
	return persona{
		// New clients with tokens are not accepted: email-oauth2-proxy, README.
		without: slices.Concat(personaRare, personaTokens),
		offers: map[string]string{
			// MailKit#358: no CONDSTORE, SASL-IR, IDLE, UNSELECT, ENABLE.
			"imap": "IMAP4rev1 ID MOVE NAMESPACE UIDPLUS LITERAL+ CHILDREN STARTTLS LOGIN AUTH AUTH=PLAIN AUTH=LOGIN",
		},
		rules: []Rule{
			// imapsync#119, imap_tools#229; the same command succeeds when it is repeated: mailcore2#1445.
			{Protocol: "imap", Command: "*FETCH", After: 19, Hit: 1, Of: 20,
				Strike: Strike{Reply: "NO [UNAVAILABLE] FETCH Server error - Please try again later"}},
		},
	}
}

func personaICloud() persona {
	return persona{
		without: slices.Concat(personaRare, personaTokens, []string{"AUTH=LOGIN"}),
		offers: map[string]string{
			// nextcloud/mail#3401: no MOVE, LITERAL+, SPECIAL-USE, LIST-EXTENDED.
			"imap": "IMAP4rev1 CONDSTORE ENABLE QRESYNC QUOTA NAMESPACE UIDPLUS CHILDREN BINARY UNSELECT SORT ESEARCH " +
				"THREAD=ORDEREDSUBJECT THREAD=REFERENCES WITHIN SASL-IR SEARCHRES ID IDLE STARTTLS LOGIN AUTH AUTH=PLAIN",
		},
		rules: []Rule{
			// The ENABLED response may be empty: imap-mcp#8, MailKit#1871. CONDSTORE works without it all the same.
			{Protocol: "imap", Command: "ENABLE", Arg: "CONDSTORE", Strike: Strike{Reply: "* ENABLED\nOK ENABLE completed"}},
			// horde/Imap_Client#17.
			{Protocol: "imap", Command: "*FETCH", Arg: "*BINARY.SIZE*", Strike: Strike{Reply: "BAD parse error"}},
		},
	}
}

func personaCourier() persona {
	return persona{
		without: slices.Concat(personaRare, personaTokens),
		offers: map[string]string{
			// imapfilter#19: no ID, ENABLE, UNSELECT, LITERAL+, SASL-IR, MOVE, CONDSTORE, ESEARCH.
			"imap": "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE STARTTLS LOGIN AUTH AUTH=PLAIN",
		},
	}
}

func personaCoremail() persona {
	return persona{
		without: slices.Concat(personaRare, personaTokens),
		offers: map[string]string{
			// offlineimap3#71, SASL-IR: himalaya#729. No IDLE, MOVE, NAMESPACE, UNSELECT.
			"imap": "IMAP4rev1 SPECIAL-USE ID LITERAL+ STARTTLS APPENDLIMIT UIDPLUS SASL-IR LOGIN AUTH AUTH=PLAIN AUTH=LOGIN",
		},
		rules: []Rule{
			// The name in the greeting is by what clients know whom they have to tell their ID: himalaya#729.
			{Protocol: "imap", Command: "GREETING", Strike: Strike{Reply: "* OK Coremail System IMap Server Ready"}},
		},
		idFirst:  true,
		refuseIR: true,
	}
}

// personaFaults plays a persona to all sessions of a server.
type personaFaults struct {
	persona persona
	offered []string // "imap MOVE"
	rules   Rules

	mu       sync.Mutex
	sessions map[int64]personaSession
}

// personaSession is what a persona remembers of a session.
type personaSession struct{ identified bool }

// personaMemory bounds the sessions that are remembered, as nobody tells when one has ended: the oldest are forgotten.
const personaMemory = 8192

var (
	_ Faults   = (*personaFaults)(nil)
	_ Hider    = (*personaFaults)(nil)
	_ Labeller = (*personaFaults)(nil)
)

// Strike implements Faults.
func (p *personaFaults) Strike(e Event) Strike {
	if s := p.session(e); !s.isZero() {
		return s
	}
	return p.rules.Strike(e)
}

// Hidden implements Hider.
func (p *personaFaults) Hidden(protocol, extension string) bool {
	if protocol == "lmtp" { // no provider shows it
		return false
	}
	if _, ok := p.persona.offers[protocol]; !ok {
		return false
	}
	return !slices.Contains(p.offered, protocol+" "+strings.ToUpper(extension))
}

// Labels implements Labeller.
func (p *personaFaults) Labels() bool { return p.persona.labels }

// session does what depends on the commands that a session has had.
func (p *personaFaults) session(e Event) Strike {
	if e.Protocol != "imap" || !p.persona.idFirst && !p.persona.refuseIR {
		return Strike{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sessions[e.Session]
	switch e.Command {
	case "ID":
		s.identified = true
		p.remember(e.Session, s)
	case "SELECT", "EXAMINE":
		// himalaya#651, node-imap#908.
		if p.persona.idFirst && !s.identified {
			return Strike{Reply: "NO " + e.Command + " Unsafe Login. Please contact postmaster@example.org for help"}
		}
	case "AUTHENTICATE":
		// himalaya#729.
		if p.persona.refuseIR && strings.HasSuffix(e.Arg, " *") {
			return Strike{Reply: "BAD Request not ending with <CR><LF>."}
		}
	case "LOGOUT":
		delete(p.sessions, e.Session)
	}
	return Strike{}
}

// remember keeps what is known of a session, and forgets the oldest when there are too many.
func (p *personaFaults) remember(id int64, s personaSession) {
	p.sessions[id] = s
	if len(p.sessions) > personaMemory {
		maps.DeleteFunc(p.sessions, func(old int64, _ personaSession) bool { return old <= id-personaMemory/2 })
	}
}
