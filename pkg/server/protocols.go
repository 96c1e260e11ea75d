package server

// protocol is what the core has to know of a protocol.
type protocol struct {
	serve   func(*Server, *session) error
	tooMany string // the line for a client that is turned away
}

// protocols is the table of all of them.
func protocols() map[string]protocol {
	return map[string]protocol{
		"smtp": {(*Server).serveSMTP, "421 4.3.2 too many sessions, try again later"},
		"lmtp": {(*Server).serveSMTP, "421 4.3.2 too many sessions, try again later"},
		"pop3": {popServer(), "-ERR [SYS/TEMP] too many sessions, try again later"},
		"imap": {(*Server).serveIMAP, "* BYE too many sessions, try again later"},
	}
}

// Serves reports whether this build serves a protocol: "smtp", "lmtp", "pop3", "imap".
func Serves(proto string) bool {
	_, ok := protocols()[proto]
	return ok
}
